"""Back-off n-gram language models.

In: text (`text`, then `kneser_ney`) or an ARPA file (`arpa`). Out: an `NgramTable` of the n-grams,
to be written as ARPA, and an `NgramModel` compiled from it for the search and for `perplexity`.
"""
