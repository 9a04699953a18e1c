"""Finite automata over tokens.

In: token sequences (`spelling_trie`) or a nondeterministic automaton built state by state. Out: an
`Automaton`, deterministic and trimmed, as flat arrays that the compiled search walks with `step`.
"""
