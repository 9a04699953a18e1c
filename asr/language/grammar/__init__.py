"""Grammars in the JSpeech Grammar Format.

In: the text of a grammar, parsed (`jsgf`) into a tree and checked. Out: the automaton of all the
sentences that it allows, in the tokens of a model (`compiler`).
"""
