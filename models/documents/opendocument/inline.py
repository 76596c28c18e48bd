"""The text of a paragraph, with its formats, notes and comments."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from models.documents.opendocument.names import name, number
from models.documents.spans import Script, Span, plain_text
from models.documents.text import one_line
from models.documents.word.xml import Element

MAX_SPACES = 100
HIDDEN_PASSAGES = "hidden passages"
NOTE, COMMENT, FRAME = name("text:note"), name("office:annotation"), name("draw:frame")
SKIPPED = frozenset([name("office:annotation-end"), name("text:ruby-text"), name("office:event-listeners")])
BREAKS = {name("text:tab"): "\t", name("text:line-break"): "\n"}


@dataclass(frozen=True)
class TextFormat:
    """What a style says of a text."""

    script: Script = "normal"
    is_struck: bool = False
    is_hidden: bool = False


PLAIN = TextFormat()


@dataclass
class InlineText:
    """A paragraph's text, the elements whose text follows it, and what was left out."""

    text: str = ""
    after: list[Element] = field(default_factory=list)
    omissions: Counter[str] = field(default_factory=Counter)


def read_formats(*roots: Element | None) -> dict[str, TextFormat]:
    """The format of each text style."""
    formats: dict[str, TextFormat] = {}
    for root in roots:
        for style in [] if root is None else root.iter(name("style:style")):
            properties = style.find(name("style:text-properties"))
            if properties is not None:
                formats[style.get(name("style:name")) or ""] = _format(properties)
    return formats


def _format(properties: Element) -> TextFormat:
    position = (properties.get(name("style:text-position")) or "0").split(" ")[0]
    script: Script = "normal"
    if position == "super" or (position.rstrip("%").isdecimal() and int(position.rstrip("%")[:4]) > 0):
        script = "super"
    elif position == "sub" or position.startswith("-"):
        script = "sub"
    struck = properties.get(name("style:text-line-through-style")) or "none"
    return TextFormat(script, struck != "none", properties.get(name("text:display")) == "none")


def read_inline(paragraph: Element, formats: dict[str, TextFormat]) -> InlineText:
    """The paragraph as a reader sees it. Depth is limited by libxml2."""
    result = InlineText()
    result.text = plain_text(list(_spans(paragraph, formats, PLAIN, result)))
    return result


def _spans(element: Element, formats: dict[str, TextFormat], base: TextFormat, result: InlineText) -> Iterator[Span]:
    yield from _span(element.text, base, result)
    for child in element.iterchildren():
        if isinstance(child.tag, str):
            yield from _child(child, formats, base, result)
        yield from _span(child.tail, base, result)


def _child(child: Element, formats: dict[str, TextFormat], base: TextFormat, result: InlineText) -> Iterator[Span]:
    if child.tag == name("text:s"):
        yield Span(" " * min(number(child.get(name("text:c"))), MAX_SPACES))
    elif child.tag in BREAKS:
        yield Span(BREAKS[child.tag])
    elif child.tag == NOTE:
        result.after.append(child)
        yield Span(note_mark(child))
    elif child.tag in (COMMENT, FRAME):
        result.after.append(child)
    elif child.tag == name("text:hidden-text"):
        result.omissions[HIDDEN_PASSAGES] += 1
    elif child.tag not in SKIPPED:
        style = formats.get(child.get(name("text:style-name")) or "", base)
        yield from _spans(child, formats, style, result)


def _span(text: str | None, text_format: TextFormat, result: InlineText) -> Iterator[Span]:
    """A text without the line breaks of the file, which mean spaces."""
    if text and text_format.is_hidden:
        result.omissions[HIDDEN_PASSAGES] += bool(text.strip())
    elif text:
        spaced = (" " if text[0].isspace() else "") + one_line(text) + (" " if text[-1].isspace() else "")
        yield Span(spaced if text.strip() else " ", text_format.script, text_format.is_struck)


def note_mark(note: Element) -> str:
    citation = note.find(name("text:note-citation"))
    return f"[^{one_line(''.join(citation.itertext()))}]" if citation is not None else ""
