"""The paragraphs of a shape: text with its formats, lists with their numbers."""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from models.documents.spans import Span, plain_text
from models.documents.word.equations import equation_text
from models.documents.word.numbering import written
from models.documents.word.xml import Element

STRUCK = frozenset(["sngStrike", "dblStrike"])
NUMBER_STYLES = {"alphaLc": "lowerLetter", "alphaUc": "upperLetter", "romanLc": "lowerRoman", "romanUc": "upperRoman"}


@dataclass(frozen=True)
class Paragraph:
    """`marker` is a list item's, such as `-` or `2.`, else empty; `level` from 0."""

    text: str
    marker: str
    level: int


def paragraphs(body: Element, has_bullets: bool) -> Iterator[Paragraph]:
    """The paragraphs with text. `has_bullets`: they are list items unless they say no."""
    numbers: dict[int, int] = {}
    for element in body.iterchildren("{*}p"):
        text = paragraph_text(element)
        if not text.strip():
            continue
        properties = element.find("{*}pPr")
        level = _level(properties)
        marker = _marker(properties, level, numbers, has_bullets)
        yield Paragraph(text, marker, level)


def paragraph_text(paragraph: Element) -> str:
    spans: list[Span] = []
    for child in paragraph.iterchildren(tag=etree.Element):
        kind = etree.QName(child).localname
        if kind in ("r", "fld"):
            spans.append(_run(child))
        elif kind == "br":
            spans.append(Span("\n"))
        elif kind in ("m", "AlternateContent"):
            equation = next(child.iter("{*}oMath"), None)
            spans.append(Span(equation_text(equation) if equation is not None else ""))
    return plain_text(spans)


def _run(run: Element) -> Span:
    text = "".join(element.text or "" for element in run.iterchildren("{*}t"))
    properties = run.find("{*}rPr")
    if properties is None:
        return Span(text)
    baseline = properties.get("baseline") or "0"
    script = "sub" if baseline.startswith("-") else "super" if baseline.strip("0%") else "normal"
    return Span(text, script, properties.get("strike") in STRUCK)  # type: ignore[arg-type]


def _level(properties: Element | None) -> int:
    level = "" if properties is None else properties.get("lvl") or ""
    return int(level) if level.isdecimal() and len(level) == 1 else 0


def _marker(properties: Element | None, level: int, numbers: dict[int, int], has_bullets: bool) -> str:
    numbering = None if properties is None else properties.find("{*}buAutoNum")
    for deeper in [other for other in numbers if other > level]:
        del numbers[deeper]
    if numbering is None:
        numbers.pop(level, None)
        if properties is not None and properties.find("{*}buNone") is not None:
            return ""
        is_item = has_bullets or (properties is not None and properties.find("{*}buChar") is not None)
        return "-" if is_item else ""
    first = numbering.get("startAt") or "1"
    numbers[level] = numbers.get(level, (int(first) if first.isdecimal() and len(first) < 6 else 1) - 1) + 1
    style = numbering.get("type") or "arabicPeriod"
    label = written(
        numbers[level], next((NUMBER_STYLES[name] for name in NUMBER_STYLES if style.startswith(name)), "decimal")
    )
    return f"({label})" if "ParenBoth" in style else f"{label})" if "ParenR" in style else f"{label}."
