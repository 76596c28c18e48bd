"""Styles of a Word file: heading levels, and which text is hidden, struck out, raised or lowered."""

import re
from dataclasses import dataclass
from functools import cached_property

from models.documents.base import MAX_HEADING_LEVEL
from models.documents.word.xml import OFF, VALUE, Element, child, name, number, value

HEADING_STYLE = re.compile(r"heading ([1-9])$", re.IGNORECASE)
VANISH, STRIKE, DOUBLE_STRIKE, SIZE, SCRIPT = map(name, ("w:vanish", "w:strike", "w:dstrike", "w:sz", "w:vertAlign"))
COLOR, GROUNDS = name("w:color"), (name("w:shd"), name("w:highlight"))
FORMAT_TAGS = (VANISH, STRIKE, DOUBLE_STRIKE, SIZE, SCRIPT, COLOR, *GROUNDS)
FRAMES = (name("w:tc"), name("w:txbxContent"))  # their ground may come from anywhere
MAX_STYLE_PARENTS = 20  # styles may refer to each other in a circle
MAX_INVISIBLE_HALF_POINTS = 2  # a letter of one point or less is a dot


@dataclass(frozen=True)
class Format:
    """The format of a run as far as it changes what the text says. `script`: superscript, subscript or baseline.

    `is_white`: in white, without a ground of its own.
    """

    is_hidden: bool = False
    is_white: bool = False
    is_struck: bool = False
    script: str = "baseline"


PLAIN = Format()


class Styles:
    """The styles by id. `root` None: a file without styles."""

    def __init__(self, root: Element | None) -> None:
        self._styles: dict[str, Element] = {}
        self._default_id = ""
        self._defaults = None if root is None else child(root, "w:docDefaults/w:rPrDefault")
        for style in [] if root is None else root.iter(name("w:style")):
            self._styles[style.get(name("w:styleId")) or ""] = style
            if style.get(name("w:type")) == "paragraph" and (style.get(name("w:default")) or "0") in ("1", "true"):
                self._default_id = style.get(name("w:styleId")) or ""
        self._chains: dict[str, list[Element]] = {}
        self._formats: dict[tuple[str, Format], Format] = {}

    def of(self, style_id: str) -> list[Element]:
        """A style and the styles that it is based on, nearest first."""
        if style_id not in self._chains:
            chain: list[Element] = []
            style = self._styles.get(style_id)
            while style is not None and len(chain) < MAX_STYLE_PARENTS:
                chain.append(style)
                style = self._styles.get(value(style, "w:basedOn"))
            self._chains[style_id] = chain
        return self._chains[style_id]

    def of_paragraph(self, paragraph: Element) -> list[Element]:
        return self.of(value(paragraph, "w:pPr/w:pStyle") or self._default_id)

    def names_of(self, paragraph: Element) -> list[str]:
        """The names in small letters. A name in another language than English is in the id at most."""
        return [value(style, "w:name").lower() for style in self.of_paragraph(paragraph)]

    def heading_level(self, paragraph: Element) -> int:
        """1 to 6, or 0 for a paragraph that is not a heading: by the names of its styles, else by outline level."""
        style_names = self.names_of(paragraph)
        if "title" in style_names:
            return 1
        for match in filter(None, map(HEADING_STYLE.match, style_names)):
            return min(int(match.group(1)), MAX_HEADING_LEVEL)
        for element in (paragraph, *self.of_paragraph(paragraph)):
            outline = number(element, "w:pPr/w:outlineLvl")
            if outline is not None:
                return outline + 1 if outline < MAX_HEADING_LEVEL else 0
        return 0

    def paragraph_format(self, paragraph: Element) -> Format:
        """The format of a run without any of its own."""
        return self._style_format(value(paragraph, "w:pPr/w:pStyle") or self._default_id, self._default_format)

    def run_format(self, run: Element, base: Format) -> Format:
        """The run's own properties over its character style's over `base`, its paragraph's."""
        properties = child(run, "w:rPr")
        if properties is None:
            return base
        return _format(properties, self._style_format(value(properties, "w:rStyle"), base))

    def has_ground(self, paragraph: Element) -> bool:
        """Whether something else than white paper may be behind a paragraph."""
        if next(paragraph.iterancestors(*FRAMES), None) is not None:
            return True
        if child(paragraph.getroottree().getroot(), "w:background") is not None:
            return True
        return any(child(element, "w:pPr/w:shd") is not None for element in (paragraph, *self.of_paragraph(paragraph)))

    @cached_property
    def _default_format(self) -> Format:
        properties = None if self._defaults is None else child(self._defaults, "w:rPr")
        return PLAIN if properties is None else _format(properties, PLAIN)

    def _style_format(self, style_id: str, base: Format) -> Format:
        if (style_id, base) not in self._formats:
            styled = base
            for style in reversed(self.of(style_id)):
                properties = child(style, "w:rPr")
                styled = styled if properties is None else _format(properties, styled)
            self._formats[style_id, base] = styled
        return self._formats[style_id, base]


def _format(properties: Element, base: Format) -> Format:
    values = {item.tag: item.get(VALUE) or "1" for item in properties.iterchildren(*FORMAT_TAGS)}
    if not values:
        return base
    hidden = _switch(values, VANISH)
    size = values.get(SIZE, "")
    if size.isdecimal():
        hidden = (len(size) < 3 and int(size) <= MAX_INVISIBLE_HALF_POINTS) or bool(hidden)
    strikes = [state for state in (_switch(values, STRIKE), _switch(values, DOUBLE_STRIKE)) if state is not None]
    return Format(
        is_hidden=base.is_hidden if hidden is None else hidden,
        is_white=(values[COLOR].upper() == "FFFFFF" if COLOR in values else base.is_white)
        and values.keys().isdisjoint(GROUNDS),
        is_struck=any(strikes) if strikes else base.is_struck,
        script=values.get(SCRIPT, base.script),
    )


def _switch(values: dict[str, str], tag: str) -> bool | None:
    """Whether a property is on; None if it is absent."""
    return values[tag].lower() not in OFF if tag in values else None
