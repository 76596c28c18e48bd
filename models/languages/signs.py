"""Vowel signs and accents that are part of a word, though `re` does not take them for letters."""

# Accents; signs of Hebrew, Arabic, and the scripts of India; of Thai, Lao, Burmese and Khmer.
SIGNS = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u0670\u0900-\u0903\u093a-\u0963\u0980-\u0dff"
    "\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ecd\u102b-\u103e\u1056-\u1099\u17b4-\u17d3"
)
