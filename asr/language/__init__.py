"""What a recogniser is told about the language: models, grammars, word lists and hot words.

In: ARPA files, text, JSGF grammars, word lists and hot words, with the token table of an acoustic
model. Out: flat arrays for the compiled search: n-gram models, tries and automata.
"""
