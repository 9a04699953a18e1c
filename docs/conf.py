"""How Sphinx builds these pages: `make docs`, or `sphinx-build docs build/docs`.

Why Sphinx with MyST and Furo: it is kept by many hands since 2008; API pages come from the
docstrings; its search works on pages opened from a folder (the index is a script, so nothing is
fetched); links that lead nowhere fail the build. What else was tried: Zensical, the successor of
Material for MkDocs, builds fast and its search works offline too, but it is at version 0.0, its
binary has 90 MB and API pages are not part of it; MkDocs has had no release since 2024; pdoc
makes API pages but no guides. The guides are plain Markdown, so that another generator can take
over.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import asr

project = "asr"
version = release = asr.__version__
copyright = "the authors of asr"  # noqa: A001  # Sphinx reads this name
html_title = f"asr {version}"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
default_role = "code"  # the docstrings mark code by single backticks
html_theme = "furo"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # excerpts would be fetched, which a page from a folder may not

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
