"""Text on its way in and out of a model.

In: transcripts. Out: their tokens and back (`tokens`), words with times, and the files that carry
them (`timed`). All text is Unicode NFC.
"""
