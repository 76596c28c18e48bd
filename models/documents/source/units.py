"""Programs as units: definitions with their comments and bodies, told by indentation, in any language."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

INDENT_TAB = 4
CONTINUES = re.compile(
    r"[\])}{]|(?:else|elif|except|finally|catch|end|fi|done|esac|rescue|ensure|then|do|begin)\b|#endif"
)
ATTACHED = re.compile(r"#(?!include|define|if|endif)|//|/?\*|--|@|\[[A-Z]\w*[\](]|template\s*<|'''|\"\"\"")
CONTROL = re.compile(
    r"(?:if|for|foreach|while|switch|try|with|match|do|import|from|using|return|package|require|include|use|case|until"
    r"|extern|\#)\b|\("
)
CLASS = re.compile(
    r"(?:[\w.@()]+\s+){0,6}?(?:class|interface|struct|enum|trait|impl|object|module|namespace|record|protocol|extension"
    r"|union|mod)\b(?:<[^>]*>)?\s*(?P<name>[^\s({:;<]+(?:\s+for\s+[^\s({:;<]+)?)"
)
NAMED = (
    re.compile(
        r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:\w+\s+){1,3}?(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>[\w.\"`]+)\s*(?:\(|AS)", re.I
    ),
    re.compile(r"(?:[\w()]+\s+){0,6}?(?:def|func|fun|function|fn|sub|macro)\s+(?:\([^)]*\)\s*)?(?P<name>[\w.:~?!$]+)"),
    re.compile(r"type\s+(?P<name>\w+)"),
    re.compile(r"(?:export\s+)?(?:default\s+)?(?:const|let|var|val|my|local)\s+(?P<name>[\w$]+)"),
    re.compile(r"[^=(]*?(?P<name>operator\s*\S{1,3}|[\w:~$.]+)\s*\("),
    re.compile(r"(?P<name>[\w.$]+)\s*(?:=|:)"),
)
MAX_HEADER_CHARS = 300
MAX_NAME_CHARS = 80
MAX_DEPTH = 20


@dataclass(frozen=True)
class Unit:
    """Lines `start` to `end`. `header`: the line of the definition, -1 without one. `has_members`: it is a class."""

    start: int
    end: int
    header: int = -1
    name: str = ""
    has_members: bool = False


def indents_of(lines: list[str]) -> list[int]:
    """The indentation of each line; -1 for blank lines and those inside a string of several lines."""
    indents: list[int] = []
    quote = ""
    for line in lines:
        text = line.expandtabs(INDENT_TAB)
        indents.append(-1 if quote or not text.strip() else len(text) - len(text.lstrip()))
        for mark in ('"""', "'''"):
            if quote in ("", mark) and line.count(mark) % 2:
                quote = "" if quote else mark
                break
    return indents


def split_units(lines: list[str], indents: list[int], start: int, end: int) -> Iterator[Unit]:
    """The units of some lines: each definition with what stands right above it; other lines in runs."""
    openings = [at for at in range(start, end) if indents[at] >= 0 and not CONTINUES.match(lines[at].lstrip())]
    level = min((indents[at] for at in openings), default=0)
    heads = [at for at in openings if indents[at] == level]
    first = start
    for place, at in enumerate(heads):
        stop = heads[place + 1] if place + 1 < len(heads) else end
        if not _is_definition(lines, indents, at, stop, level):
            continue
        above = _attached(lines, indents, at, first)
        if any(line.strip() for line in lines[first:above]):
            yield Unit(first, above)
        yield _definition(lines, above, at, stop)
        first = stop
    if any(line.strip() for line in lines[first:end]):
        yield Unit(first, end)


def _is_definition(lines: list[str], indents: list[int], at: int, stop: int, level: int) -> bool:
    """Whether a line has a body below it and is no comment, condition or import."""
    text = lines[at].lstrip()
    has_body = any(indent > level for indent in indents[at + 1 : stop])
    return has_body and not CONTROL.match(text) and not ATTACHED.match(text)


def _attached(lines: list[str], indents: list[int], at: int, first: int) -> int:
    """The first of the comments and decorators that stand right above a line."""
    while at > first and lines[at - 1].strip() and ATTACHED.match(lines[at - 1].lstrip()):
        at -= 1
    return at


def _definition(lines: list[str], start: int, at: int, stop: int) -> Unit:
    header = lines[at].strip()[:MAX_HEADER_CHARS]
    if match := CLASS.match(header):
        return Unit(start, stop, at, match.group("name")[:MAX_NAME_CHARS], has_members=True)
    for pattern in NAMED:
        if match := pattern.match(header):
            return Unit(start, stop, at, match.group("name")[:MAX_NAME_CHARS])
    return Unit(start, stop, at, header[:MAX_NAME_CHARS])


def end_of_body(lines: list[str], indents: list[int], unit: Unit) -> int:
    """Where a definition's body ends: before the lines that close it, such as a bracket."""
    end = unit.end
    while end > unit.header + 1 and indents[end - 1] <= indents[unit.header]:
        if lines[end - 1].strip() and not CONTINUES.match(lines[end - 1].lstrip()):
            break
        end -= 1
    return end
