"""Names of files as people may read them: nothing in them moves a cursor, or turns the text around them."""

import re

# Controls, and the characters that change the direction or the line of what follows. Joiners stay: scripts need them.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


def shown_name(name: str) -> str:
    """`name` with one space in place of such characters."""
    return name if name.isprintable() else _CONTROLS.sub(" ", name).strip()
