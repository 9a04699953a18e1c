"""Scores of transcripts.

In: references and hypotheses by utterance id, from files (`transcripts`) or from a recogniser. Out:
error rates with confidence intervals (`wer`, `bootstrap`), words in transcripts of non-speech, the
calibration of confidences, and reports of them.
"""
