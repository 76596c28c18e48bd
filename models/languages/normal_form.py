"""The Unicode normal form in which texts and questions are compared."""

import re
import unicodedata

# A soft hyphen only says where a line may break. Turkish's dotted capital I has no lower case of one character.
# Signs without width are none.
_FOLDED = {**dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF)), 0x0130: "i", 0x0401: "Е", 0x0451: "е"}
_BEFORE_RAISED = re.compile("(?<=[0-9])(?=[\u00b2\u00b3\u00b9\u2070-\u2089])")  # 10² is not 102
_ANY_FOLDED = re.compile(f"[{''.join(map(chr, _FOLDED))}]")


def normal_form(text: str) -> str:
    """Return `text` in form NFKC, so that letters typed in other ways are equal. ASCII text is returned unchanged.

    A decomposed letter becomes one character, a full-width or superscript digit a digit, a ligature its letters.
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", _BEFORE_RAISED.sub(" ", text))
    return text.translate(_FOLDED) if _ANY_FOLDED.search(text) else text
