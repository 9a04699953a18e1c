"""English words respelled in the orthography of other languages.

An eSpeak NG voice for such a language then pronounces them with its own sounds: a foreign accent.
Checked against the phonemes that `espeak-ng -v LANGUAGE -q -x WORD` prints.
"""

from recipes.synthetic.phrases import ONES

_SPELLED = {
    "de": "siro uann tu sri for faif six säwen äit nain",
    "el": "ζίρο ουάν του θρι φορ φάιβ σιξ σέβεν έιτ νάιν",
    "es": "ziro uan tu tri for faif six seven eit nain",
    "fr": "ziro ouane tou sri faur faïve sixe sévenne eite naïne",
    "hi": "ज़ीरो वन टू थ्री फ़ोर फ़ाइव सिक्स सेवन एट नाइन",
    "it": "siro uan tu tri for faiv six seven eit nain",
    "nl": "ziro wan toe srie foor faif siks seven eet nain",
    "pl": "ziro uan tu tri for fajw siks sewen ejt najn",
    "pt": "ziro uane tu tri fór faive siks séven êit naine",
    "ru": "зиро уан ту сри фор файв сикс севен эйт найн",
    "sv": "siro oann to tri får fajv six seven ejt najn",
    "tr": "ziro van tu tri for fayv siks sevın eyt nayn",
}

ACCENTS = {
    language: dict(zip(ONES, spelled.split(), strict=True))
    for language, spelled in _SPELLED.items()
}
"""Spellings of English digits by eSpeak NG language."""
