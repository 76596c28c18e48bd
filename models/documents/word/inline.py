"""The text of a paragraph: what a reader of the page sees, with the marks of its notes."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from lxml.etree import Element as AnyElement

from models.documents.spans import Script, Span, plain_text
from models.documents.word.equations import equation_text
from models.documents.word.styles import Format, Styles
from models.documents.word.xml import DELETED, PARAGRAPH, PROPERTIES, Element, child, is_on, name, names, number

HIDDEN_PASSAGES, DELETIONS, PLACEHOLDERS = "hidden passages", "tracked deletions", "placeholders of empty fields"
BREAKS = {
    name("w:tab"): "\t",
    name("w:ptab"): "\t",
    name("w:br"): "\n",
    name("w:cr"): "\n",
    name("w:noBreakHyphen"): "-",
}
EQUATIONS = names("m:oMath", "m:oMathPara")
REFERENCES = {
    name("w:footnoteReference"): "footnote",
    name("w:endnoteReference"): "endnote",
    name("w:commentReference"): "comment",
}
SCRIPTS: dict[str, Script] = {"superscript": "super", "subscript": "sub"}
PAGE_FIELDS = frozenset(["PAGE", "NUMPAGES", "SECTIONPAGES", "SECTION"])
PAGE_NUMBER = "\ufdd8"  # a non-character: where a header has the number of its page
SYMBOL_FONT_CODES = 0xF000  # symbol fonts have their characters there
BOXES = {0x6F: "☐", 0xA8: "☐", 0xFE: "☒", 0xFD: "☒", 0x78: "☒", 0xFC: "✓", 0x52: "☑"}  # of Wingdings


@dataclass(frozen=True)
class Reference:
    """A mark in the text: `kind` is footnote, endnote or comment; `key` is the note's id."""

    kind: str
    key: str


@dataclass
class ParagraphText:
    """`text` has the written formats; `references` stand in the order of their marks; `omissions` by name."""

    text: str = ""
    references: list[Reference] = field(default_factory=list)
    omissions: Counter[str] = field(default_factory=Counter)


class InlineReader:
    """Reads paragraphs. `mark` writes the mark of a note into the text."""

    def __init__(self, styles: Styles, mark: Callable[[Reference], str]) -> None:
        self._styles, self._mark = styles, mark

    def read(self, paragraph: Element) -> ParagraphText:
        """The paragraph's text, and that of paragraphs inside it, such as text boxes."""
        walk = _Walk(self._styles, self._mark)
        walk.paragraph(paragraph)
        walk.result.text = plain_text(walk.spans)
        return walk.result


class _Walk:
    """One walk through a paragraph. Its state is the fields that are open, and whether the text before is hidden."""

    def __init__(self, styles: Styles, mark: Callable[[Reference], str]) -> None:
        self._styles, self._mark = styles, mark
        self.spans: list[Span] = []
        self.result = ParagraphText()
        self._fields: list[list[str]] = []  # the instructions of each open field
        self._was_hidden = False
        self._paragraph: Element | None = None

    def paragraph(self, paragraph: Element) -> None:
        outer, self._paragraph = self._paragraph, paragraph
        self._children(paragraph, self._styles.paragraph_format(paragraph))
        self._paragraph = outer

    def _children(self, parent: Element, base: Format) -> None:
        for element in parent.iterchildren(tag=AnyElement):
            self._visit(element, base)

    def _visit(self, element: Element, base: Format) -> None:
        tag = element.tag
        if tag in DELETED:
            self.result.omissions[DELETIONS] += 1
        elif tag == name("w:sdt") and is_on(element, "w:sdtPr/w:showingPlcHdr"):
            self.result.omissions[PLACEHOLDERS] += 1
        elif tag in PROPERTIES or tag == name("w:rt"):
            return
        elif tag == name("w:r"):
            self._children(element, self._styles.run_format(element, base))
        elif tag == PARAGRAPH:
            self.spans.append(Span("\n"))
            self.paragraph(element)
        elif tag == name("w:fldSimple"):
            self._fields.append([element.get(name("w:instr")) or ""])
            self._children(element, base)
            self._fields.pop()
        else:
            self._leaf(element, base)

    def _leaf(self, element: Element, base: Format) -> None:
        tag = element.tag
        if tag == name("w:t"):
            self._text(element.text or "", base)
        elif tag in BREAKS:
            self._text(BREAKS[tag], base)
        elif tag == name("w:sym"):
            self._text(_symbol(element), base)
        elif tag in EQUATIONS:
            self._text(equation_text(element), base)
        elif tag == name("w:fldChar"):
            self._field(element, base)
        elif tag == name("w:instrText"):
            if self._fields:
                self._fields[-1].append(element.text or "")
        elif tag in REFERENCES:
            self._reference(Reference(REFERENCES[tag], element.get(name("w:id")) or ""), base)
        elif tag == name("v:textpath"):  # a watermark
            self._text(f"\n{element.get('string') or ''}\n", base)
        else:
            self._children(element, base)

    def _text(self, text: str, base: Format) -> None:
        if base.is_hidden or (base.is_white and self._is_on_paper()):
            self.result.omissions[HIDDEN_PASSAGES] += bool(text.strip()) and not self._was_hidden
            self._was_hidden = self._was_hidden or bool(text.strip())
            return
        self._was_hidden = self._was_hidden and not text.strip()
        if self._is_page_number():
            text = PAGE_NUMBER
        self.spans.append(Span(text, SCRIPTS.get(base.script, "normal"), base.is_struck))

    def _is_on_paper(self) -> bool:
        return self._paragraph is not None and not self._styles.has_ground(self._paragraph)

    def _field(self, element: Element, base: Format) -> None:
        kind = element.get(name("w:fldCharType"))
        if kind == "begin":
            self._fields.append([])
            self._text(_form_value(element), base)
        elif kind == "end" and self._fields:
            self._fields.pop()

    def _is_page_number(self) -> bool:
        """Whether the text is the result of a field for the number of a page, which stands in no other field."""
        words = "".join(self._fields[-1]).split(maxsplit=1) if self._fields else []
        return bool(words) and words[0].upper() in PAGE_FIELDS

    def _reference(self, reference: Reference, base: Format) -> None:
        if not base.is_hidden:
            self.result.references.append(reference)
            self.spans.append(Span(self._mark(reference)))


def _symbol(element: Element) -> str:
    """A character of a symbol font. Only boxes and ticks of Wingdings have meaning as text."""
    code = element.get(name("w:char")) or ""
    try:
        point = int(code, 16)
    except ValueError:
        return ""
    if (element.get(name("w:font")) or "").startswith("Wingdings"):
        return BOXES.get(point % SYMBOL_FONT_CODES if point >= SYMBOL_FONT_CODES else point, "")
    point = point - SYMBOL_FONT_CODES if point >= SYMBOL_FONT_CODES else point
    return chr(point) if 0 < point < 0xD800 else ""


def _form_value(field_begin: Element) -> str:
    """The value of an old form field that has none in its text: a check box or a list."""
    box = child(field_begin, "w:ffData/w:checkBox")
    if box is not None:
        state = is_on(box, "w:checked")
        return "☒" if (is_on(box, "w:default") if state is None else state) else "☐"
    choices = child(field_begin, "w:ffData/w:ddList")
    if choices is None:
        return ""
    entries = [entry.get(name("w:val")) or "" for entry in choices.iterchildren(name("w:listEntry"))]
    place = number(choices, "w:result") or number(choices, "w:default") or 0
    return entries[place] if place < len(entries) else ""
