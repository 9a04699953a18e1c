"""Decoding settings chosen on a dev set.

In go a checkpoint, a manifest that it was not trained on and, if wanted, a language model, a
grammar or a word list. Out come `TunedSettings`, kept in the checkpoint together with the language
model, and the table of what was tried. The procedure is described in `choice`; `tune` is where the
command line comes in.
"""
