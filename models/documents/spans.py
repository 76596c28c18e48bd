"""Formatting that changes what a text says, written out: superscripts, subscripts and struck-out text."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Script = Literal["normal", "super", "sub"]
SIGNS: dict[Script, str] = {"super": "^", "sub": "_"}
ORDINAL = re.compile(r"(?:st|nd|rd|th|er|ère|re|ème|e|de|o|a|º|ª)$", re.IGNORECASE)
TRADE_MARK = re.compile(r"(?:TM|SM|™|®|©|℠)$")
SIMPLE_SCRIPT = re.compile(r"[-+\u2212]?\w+(?:[.,]\w+)?$")


@dataclass(frozen=True)
class Span:
    """A piece of a line with one format."""

    text: str
    script: Script = "normal"
    is_struck: bool = False


def plain_text(spans: Iterable[Span]) -> str:
    """The spans as text: 10^6, x_1 after a digit, H2O and 1st as they are, ~~struck out~~ as in Markdown."""
    spans = list(spans)
    if all(span.script == "normal" and not span.is_struck for span in spans):
        return "".join(span.text for span in spans)
    merged = list(_merged(spans))
    pieces: list[tuple[bool, str]] = []
    before = ""
    for number, span in enumerate(merged):
        after = merged[number + 1].text if number + 1 < len(merged) else ""
        text = span.text if span.script == "normal" else _script(span, before, after)
        pieces.append((span.is_struck, text))
        before = text or before
    groups = ((struck, "".join(text for _, text in group)) for struck, group in groupby(pieces, lambda piece: piece[0]))
    return "".join(_struck(text) if struck else text for struck, text in groups)


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Neighbours of one format as one span: editors cut words anywhere. White space has no script."""
    even = (span if span.text.strip() else Span(span.text, "normal", span.is_struck) for span in spans if span.text)
    for (script, is_struck), group in groupby(even, lambda span: (span.script, span.is_struck)):
        yield Span("".join(span.text for span in group), script, is_struck)


def _script(span: Span, before: str, after: str) -> str:
    """A superscript or subscript with its sign, where it would be read as a part of the number or word before it."""
    text = span.text.strip()
    leading = span.text[: len(span.text) - len(span.text.lstrip())]
    trailing = span.text[len(span.text.rstrip()) :]
    if leading or not _joins(span.script, before, text, after):
        return span.text
    sign_and_text = SIGNS[span.script] + (text if SIMPLE_SCRIPT.match(text) else f"({text})")
    return sign_and_text + (trailing or (" " if after[:1].isalnum() else ""))


def _joins(script: Script, before: str, text: str, after: str) -> bool:
    last = before[-1:]
    if not last or last.isspace() or text[0] in "[(":
        return False
    if script == "super":
        return not (last.isdigit() and ORDINAL.match(text)) and not TRADE_MARK.match(text)
    is_formula = text.isdecimal() and (last.isalpha() or last in ")]") and not after[:1].isdecimal()  # as in H2O
    return not is_formula


def _struck(text: str) -> str:
    """Each line by itself: a chunk may begin between them."""
    lines = ((line, line.strip()) for line in text.split("\n"))
    return "\n".join(line.replace(inner, f"~~{inner}~~", 1) if inner else line for line, inner in lines)
