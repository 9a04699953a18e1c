"""Emissions to hypotheses.

In: log-probabilities `(T, C)` of tokens, how to search, and any language models, automata and hot
words. Out: hypotheses with their scores; with a transcript, the likeliest alignment, the times of
its words and how far they can be trusted.
"""
