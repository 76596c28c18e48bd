"""Declarations of CSS that decide whether a reader sees a text."""

import re

Declarations = dict[str, str]  # property -> value, in lower case

# A rule with one of these may undo what another one hides.
SHOWING = frozenset("display visibility opacity font-size position left right top clip clip-path".split())  # noqa: SIM905
MOVING = frozenset(["animation", "animation-name", "transition"])  # the page shows it later
RELEVANT = (
    SHOWING
    | MOVING
    | {"color", "background", "background-color", "background-image", "text-indent", "margin-left", "margin-top"}
)
MAX_VALUE_CHARS = 200
ZERO = re.compile(r"0*\.?0+(?:px|pt|em|rem|%|vw|vh|ex|ch)?")
TINY = re.compile(r"(?:0|0?\.\d+)(?:px|pt)|1px")
FAR_POINTS = 999
LENGTH = re.compile(r"(-?\d+(?:\.\d+)?)(px|pt|em|rem|%|vw|vh)?")
POINTS = {"em": 12.0, "rem": 12.0, "%": 6.0, "vw": 6.0, "vh": 6.0}
CLIPPED = re.compile(r"rect\((?:[01](?:px)?[\s,]*){4}\)")
INSET = re.compile(r"inset\(\s*(?:50|100)%")
HEX = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})")
RGB = re.compile(r"rgba?\(\s*(\d{1,3})\s*[,\s]\s*(\d{1,3})\s*[,\s]\s*(\d{1,3})\s*(?:[,/]\s*1(?:\.0*)?\s*)?\)")
NAMES = {"white": "#ffffff", "black": "#000000", "red": "#ff0000", "yellow": "#ffff00", "gray": "#808080"} | {
    "green": "#008000",
    "blue": "#0000ff",
    "silver": "#c0c0c0",
    "navy": "#000080",
    "snow": "#fffafa",
    "ivory": "#fffff0",
}
NEAR_WHITE = 250


def declarations(text: str) -> Declarations:
    """The relevant declarations. Of two, the important one wins, else the later one."""
    styles: Declarations = {}
    important: set[str] = set()
    for declaration in text.split(";"):
        name, _, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip().lower()
        is_important = value.endswith("!important")
        if name in RELEVANT and 0 < len(value) <= MAX_VALUE_CHARS and (is_important or name not in important):
            styles[name] = value.removesuffix("!important").strip()
            if is_important:
                important.add(name)
    return styles


def hides(styles: Declarations) -> bool:
    """Whether an element is hidden with all that is inside it."""
    return (
        styles.get("display") == "none"
        or styles.get("visibility") in ("hidden", "collapse")
        or (_is_zero(styles.get("opacity", "")) and not styles.keys() & MOVING)
        or _is_far(styles)
        or _is_clipped(styles)
    )


def hides_text(styles: Declarations) -> bool:
    """Whether the letters of an element have no size, unless something inside has one of its own."""
    size = styles.get("font-size", "")
    return bool(size) and (_is_zero(size) or bool(TINY.fullmatch(size)))


def colour(value: str) -> str | None:
    """A colour as #rrggbb, near white as white; None for one that is not plain."""
    value = value.strip()
    if value in NAMES:
        return _whitened(NAMES[value])
    if HEX.fullmatch(value):
        digits = value[1:] if len(value) == 7 else "".join(digit * 2 for digit in value[1:])
        return _whitened(f"#{digits}")
    if match := RGB.fullmatch(value):
        return _whitened("#" + "".join(f"{min(int(channel), 255):02x}" for channel in match.groups()))
    return None


def _whitened(colour: str) -> str:
    channels = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#ffffff" if min(channels) >= NEAR_WHITE else colour


def _is_zero(value: str) -> bool:
    return bool(ZERO.fullmatch(value))


def _is_far(styles: Declarations) -> bool:
    """Whether an element, or the first line of its text, stands far outside the page."""
    if any(_points(styles.get(name, "")) <= -FAR_POINTS for name in ("text-indent", "margin-left", "margin-top")):
        return True
    is_placed = styles.get("position") in ("absolute", "fixed", "relative")
    return is_placed and any(_points(styles.get(side, "")) <= -FAR_POINTS for side in ("left", "right", "top"))


def _is_clipped(styles: Declarations) -> bool:
    clip, path = styles.get("clip", ""), styles.get("clip-path", "")
    return bool(CLIPPED.fullmatch(clip) and styles.get("position") in ("absolute", "fixed")) or bool(INSET.match(path))


def _points(value: str) -> float:
    match = LENGTH.fullmatch(value)
    return float(match[1]) * POINTS.get(match[2] or "", 1.0) if match else 0.0
