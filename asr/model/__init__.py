"""The acoustic model and its loss.

In: features `(N, T, F)` and their lengths. Out: log-probabilities of tokens `(N, T', C)`
(`acoustic`) and, with targets, the CTC loss of each utterance (`loss`).
"""
