"""A checkpoint put to use.

In: a checkpoint, recordings (files or samples), options that say how to decode. Out: transcripts
with words, times and confidences, alignments of known transcripts, error rates, and the text of
the files that carry them. The command line, recipes and Python users all come in here.
"""
