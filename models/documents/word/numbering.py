"""Labels that Word generates: "2.", "(a)", "Article IV", "1.1". They are not in the text of a paragraph."""

import re
from dataclasses import dataclass

from models.documents.word.styles import Styles
from models.documents.word.xml import VALUE, Element, child, is_on, name, number, value

NUM_LEVELS = 9
PLACEHOLDER = re.compile(r"%([1-9])")
ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
MAX_ROMAN = 4_000
CHINESE_DIGITS = "〇一二三四五六七八九"
CHINESE = frozenset(["chineseCounting", "chineseCountingThousand", "ideographDigital", "japaneseCounting"])
MAX_LETTERS = 26 * 30


@dataclass(frozen=True)
class Label:
    """A paragraph's place in a list. `text` is empty in a list with bullets; `depth` 0 is outermost."""

    text: str
    depth: int


class Numbering:
    """Counts the paragraphs of each list. Ask for each paragraph once, in the order of the document."""

    def __init__(self, root: Element | None, styles: Styles) -> None:
        self._styles = styles
        self._lists: dict[str, Element] = {}
        self._abstracts: dict[str, Element] = {}
        self._counters: dict[str, list[int | None]] = {}
        self._started: set[tuple[str, int]] = set()
        self._at_depth: dict[tuple[int, str], dict[str, Element]] = {}
        if root is not None:
            self._lists = {item.get(name("w:numId")) or "": item for item in root.iter(name("w:num"))}
            abstracts = root.iter(name("w:abstractNum"))
            self._abstracts = {item.get(name("w:abstractNumId")) or "": item for item in abstracts}
        # A list may be defined by a list style, whose definition then stands elsewhere.
        linked = ((value(item, "w:styleLink"), key) for key, item in self._abstracts.items())
        self._style_links = {style: key for style, key in linked if style}

    def label(self, paragraph: Element) -> Label | None:
        """The label of the next paragraph, or None outside lists."""
        list_id, depth, style_id = self._place(paragraph)
        if list_id in ("", "0"):  # 0: a list of the style that does not apply here
            return None
        abstract_id, abstract = self._abstract_of(list_id)
        if abstract is None:
            return Label("", depth or 0)
        if depth is None:
            depth = _depth_of_style(abstract, style_id)
        self._count(list_id, abstract_id, depth)
        return Label(self._text(list_id, abstract_id, depth), depth)

    def _place(self, paragraph: Element) -> tuple[str, int | None, str]:
        """The id of the list, the depth if it is stated, and the id of the style that states the list."""
        depth: int | None = None
        for element in (paragraph, *self._styles.of_paragraph(paragraph)):
            properties = child(element, "w:pPr/w:numPr")
            if properties is None:
                continue
            depth = number(properties, "w:ilvl") if depth is None else depth
            if list_id := value(properties, "w:numId"):
                style_id = element.get(name("w:styleId")) or ""
                is_implied = depth is None and bool(style_id)
                return list_id, None if is_implied else min(depth or 0, NUM_LEVELS - 1), style_id
        return "", None, ""

    def _abstract_of(self, list_id: str) -> tuple[str, Element | None]:
        """The definition of a list, with its id."""
        item = self._lists.get(list_id)
        abstract_id = "" if item is None else value(item, "w:abstractNumId")
        abstract = self._abstracts.get(abstract_id)
        style_id = "" if abstract is None else value(abstract, "w:numStyleLink")
        abstract_id = self._style_links.get(style_id, abstract_id)
        return abstract_id, self._abstracts.get(abstract_id)

    def _count(self, list_id: str, abstract_id: str, depth: int) -> None:
        """Lists with one definition go on counting, unless a list says where it starts."""
        counters = self._counters.setdefault(abstract_id, [None] * NUM_LEVELS)
        if (list_id, depth) not in self._started:
            self._started.add((list_id, depth))
            override = self._override(list_id, depth)
            if override is not None and number(override, "w:startOverride") is not None:
                counters[depth] = None
        for above in range(depth):
            if counters[above] is None:
                counters[above] = self._start(list_id, abstract_id, above)
        current = counters[depth]
        counters[depth] = self._start(list_id, abstract_id, depth) if current is None else current + 1
        for below in range(depth + 1, NUM_LEVELS):
            if self._restarts(list_id, abstract_id, below, depth):
                counters[below] = None

    def _restarts(self, list_id: str, abstract_id: str, below: int, depth: int) -> bool:
        """Whether a level begins again after an item of a level above it."""
        level = self._level(list_id, abstract_id, below)
        restart = None if level is None else number(level, "w:lvlRestart")
        return restart is None or (restart > 0 and depth < restart)

    def _start(self, list_id: str, abstract_id: str, depth: int) -> int:
        override = self._override(list_id, depth)
        start = None if override is None else number(override, "w:startOverride")
        level = self._level(list_id, abstract_id, depth)
        if start is None and level is not None:
            start = number(level, "w:start")
        return 1 if start is None else start

    def _text(self, list_id: str, abstract_id: str, depth: int) -> str:
        level = self._level(list_id, abstract_id, depth)
        if level is None or value(level, "w:numFmt") == "bullet":
            return ""
        is_legal = bool(is_on(level, "w:isLgl"))
        counters = self._counters[abstract_id]

        def counted(match: re.Match[str]) -> str:
            place = int(match.group(1)) - 1
            level_of_place = self._level(list_id, abstract_id, place)
            style = "decimal" if level_of_place is None else value(level_of_place, "w:numFmt") or "decimal"
            if is_legal and style not in ("none", "bullet"):
                style = "decimal"
            return written(counters[place] or 0, style)

        return PLACEHOLDER.sub(counted, value(level, "w:lvlText")).strip()

    def _override(self, list_id: str, depth: int) -> Element | None:
        item = self._lists.get(list_id)
        return None if item is None else self._find(item, "w:lvlOverride", depth)

    def _level(self, list_id: str, abstract_id: str, depth: int) -> Element | None:
        override = self._override(list_id, depth)
        level = None if override is None else child(override, "w:lvl")
        if level is None and abstract_id in self._abstracts:
            level = self._find(self._abstracts[abstract_id], "w:lvl", depth)
        return level

    def _find(self, parent: Element, tag: str, depth: int) -> Element | None:
        key = (id(parent), tag)  # the dictionaries of lists keep `parent` alive
        if key not in self._at_depth:
            self._at_depth[key] = {item.get(name("w:ilvl")) or "": item for item in parent.iterchildren(name(tag))}
        return self._at_depth[key].get(str(depth))


def _depth_of_style(abstract: Element, style_id: str) -> int:
    for level in abstract.iterchildren(name("w:lvl")):
        style, depth = child(level, "w:pStyle"), level.get(name("w:ilvl")) or ""
        if style is not None and style.get(VALUE) == style_id and depth.isdecimal():
            return min(int(depth), NUM_LEVELS - 1)
    return 0


def written(count: int, style: str) -> str:
    """A number in one of Word's styles; in digits if the style is none of letters, Roman or Chinese numerals."""
    if style in ("lowerLetter", "upperLetter") and 0 < count <= MAX_LETTERS:
        letters = chr(ord("a") + (count - 1) % 26) * ((count - 1) // 26 + 1)
        return letters if style == "lowerLetter" else letters.upper()
    if style in ("lowerRoman", "upperRoman") and 0 < count < MAX_ROMAN:
        return _roman(count) if style == "lowerRoman" else _roman(count).upper()
    if style in CHINESE and 0 < count < 100:
        return _chinese(count)
    if style in ("none", "bullet"):
        return ""
    return f"{count:02}" if style == "decimalZero" else _ordinal(count) if style == "ordinal" else str(count)


def _roman(count: int) -> str:
    letters = ""
    for size, numeral in ROMAN:
        letters += numeral * (count // size)
        count %= size
    return letters


def _chinese(count: int) -> str:
    tens, units = divmod(count, 10)
    head = "" if tens == 0 else "十" if tens == 1 else CHINESE_DIGITS[tens] + "十"
    return head + (CHINESE_DIGITS[units] if units else "")


def _ordinal(count: int) -> str:
    suffix = "th" if 10 <= count % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{suffix}"
