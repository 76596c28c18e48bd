"""Splits a text into sentences and similar units, which an answer quotes.

sentencex splits prose (rules for abbreviations, numbers and quotation marks, about 0.01 ms a paragraph). Headings, list
items, table rows and lines of code are units by themselves. The text may be Markdown or a parser's extracted text. The
latter has no code fences, so code is recognized by its look.
"""

import re
from dataclasses import dataclass

from models.languages.abbreviations import runs_on
from models.languages.detection import language_of

Span = tuple[int, int]

# A longer unit is split at its sentences or lines. The 95th percentile of the sentences in SQuAD and Natural Questions
# is 285 characters, so a text of twice that length is not one sentence.
MAX_UNIT_CHARS = 600

# Languages with rules of their own in sentencex, by its codes; for the others English ones are better.
_CODES = {
    "danish": "da",
    "dutch": "nl",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "italian": "it",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
}

_LINE = re.compile(r"[^\n]*\n?")
_FENCE = re.compile(r"\s*(`{3,})")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s")
_ITEM = re.compile(r"\s*(?:[-*+•‣▪]|\(?(?:\d{1,3}|[a-zA-I])[.)])\s+\S")  # J. Smith is no item
_ROW = re.compile(r"\s*\||.*\S[ ]\|[ ]\S|.*\S\t\S")
_INDENTED = re.compile(r"(?: {4}|\t)\s*\S")
_WORD = re.compile(r"\w")
_BREAK = re.compile(r"[ \t]*\n[ \t]*")
# Chinese and Japanese have no space where a line was broken.
_UNSPACED = r"[\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef]"
_UNSPACED_BREAK = re.compile(rf"(?<={_UNSPACED})[ \t]*\n[ \t]*(?={_UNSPACED})")
_CODE_LINE = re.compile(
    r"""\s*(?:
        \$\s | >>> | \.\.\.\s | [}\])] | </?\w | --?\w            # prompts, closing brackets, tags, options
        | (?:sudo|pip3?|npm|npx|docker|kubectl|helm|curl|wget|apt-get|conda|python3?)\s+[-\w./]
        | (?:import|from|def|class|async|await|return)\s+[\w.]+(?:[(:]|\s+import\b|$)
        | [\w.\[\]'"-]+\s?[-+*/|&:]?=[^=]?                       # assignments
        | [\w.]+\(\S*                                           # calls
        | (?:return|yield|raise|assert|del)\s+[\w.]+\s?[\[({=<>+*/%-]     # statements
        | [a-z][\w.-]*:(?:\s\S+)?$                              # keys of YAML, but not "Note:"
        | .*[{(;\\]$
    )""",
    re.VERBOSE,
)


@dataclass
class _Block:
    """Consecutive lines of one kind: prose, item, row, heading, code, or fence (code with its fence lines)."""

    kind: str
    start: int
    end: int


def sentence_spans(text: str) -> list[Span]:
    """(start, end) of each unit of `text`, in order, without overlap or outer white space. Each has a word.

    A short code block joins the unit before it: neither "Install it with:" nor the code is an answer alone.
    """
    spans: list[Span] = []
    for block in _blocks(text):
        units = _units(text, block)
        if spans and units and _completes(text, spans[-1], block, len(units)):
            spans[-1] = (spans[-1][0], _strip(text, block.start, block.end)[1])
        else:
            spans.extend(units)
    return spans


def looks_like_code(text: str) -> bool:
    """Whether at least half the lines of `text` look like code. A heuristic that is sometimes wrong."""
    lines = [line for line in text.splitlines() if line.strip()]
    return 2 * sum(bool(_CODE_LINE.match(line)) for line in lines) >= max(1, len(lines))


def is_prose(text: str) -> bool:
    """Whether a unit fits into a paragraph: it is a whole sentence on one line."""
    if "\n" in text or _kind(text, adjoins=True, blocks=[]) != "prose" or looks_like_code(text):
        return False
    return text.rstrip("\"'”’»)]")[-1:] in tuple(".!?…。！？")


def unwrapped(text: str) -> str:
    """A sentence that was broken into lines, on one line; any other unit as it is."""
    if "\n" not in text or looks_like_code(text):
        return text
    one_line = _BREAK.sub(" ", _UNSPACED_BREAK.sub("", text))
    return one_line if is_prose(one_line) else text


def _completes(text: str, unit: Span, block: _Block, num_units: int) -> bool:
    """Whether `block` belongs to the unit before it: code directly after it, or a single sentence after a colon."""
    start, end = unit
    if block.end - start > MAX_UNIT_CHARS or text[end : block.start].strip():
        return False
    if block.kind == "fence":
        return True
    if block.kind not in ("prose", "code"):
        return False
    has_colon = text[start:end].endswith(":")
    ends_here = block.kind == "code" or num_units == 1
    return (has_colon and ends_here) or looks_like_code(text[block.start : block.end])


def _blocks(text: str) -> list[_Block]:
    blocks: list[_Block] = []
    adjoins = False  # the line before was not blank
    fence = ""  # the backticks that opened the current code block
    for match in _LINE.finditer(text):
        line, start, end = match.group(), match.start(), match.end()
        kind = "fence" if fence else _kind(line, adjoins, blocks)
        if _continues(kind, adjoins, blocks, bool(fence)):
            blocks[-1].end = end
        elif kind not in ("blank", "rule"):
            blocks.append(_Block(kind, start, end))
        fence = _fence_after(line, fence)
        adjoins = kind not in ("blank", "rule", "heading")
    return blocks


def _kind(line: str, adjoins: bool, blocks: list[_Block]) -> str:
    if not line.strip():
        return "blank"
    if _FENCE.match(line):
        return "fence"
    if not _WORD.search(line):
        return "rule"
    if _is_indented_code(line, adjoins, blocks):
        return "code"
    for kind, pattern in (("heading", _HEADING), ("item", _ITEM), ("row", _ROW)):
        if pattern.match(line):
            return kind
    return "prose"


def _is_indented_code(line: str, adjoins: bool, blocks: list[_Block]) -> bool:
    """Four spaces after a blank line, and not the second paragraph of a list item."""
    if not _INDENTED.match(line):
        return False
    last = blocks[-1].kind if blocks else ""
    return last == "code" or (not adjoins and last != "item" and not _ITEM.match(line))


def _continues(kind: str, adjoins: bool, blocks: list[_Block], in_fence: bool) -> bool:
    if in_fence:
        return True
    if not blocks or kind in ("blank", "rule"):
        return False
    if kind == "code":
        return blocks[-1].kind == "code"
    return kind == "prose" and adjoins and blocks[-1].kind in ("prose", "item")


def _fence_after(line: str, fence: str) -> str:
    """The fence that is open after `line`. At least as many backticks as opened a block close it."""
    match = _FENCE.match(line)
    if not match:
        return fence
    if not fence:
        return match.group(1)
    return "" if match.group(1).startswith(fence) else fence


def _units(text: str, block: _Block) -> list[Span]:
    match block.kind:
        case "prose" if looks_like_code(text[block.start : block.end]):
            spans = _line_spans(text, block.start, block.end)
        case "prose":
            spans = _sentences(text, block.start, block.end)
        case "item" if block.end - block.start > MAX_UNIT_CHARS:
            spans = _sentences(text, block.start, block.end)
        case "code" | "fence":
            spans = _line_spans(text, block.start, block.end)
        case _:
            spans = [(block.start, block.end)]
    stripped = (_strip(text, start, end) for start, end in spans)
    return [span for span in stripped if _WORD.search(text, *span)]


def _sentences(text: str, start: int, end: int) -> list[Span]:
    spans: list[Span] = []
    for first, last in _joined(text[start:end], language_of(text)):
        # So long without a full stop is not a sentence, but lines of a PDF or a poem.
        is_sentence = last - first <= MAX_UNIT_CHARS
        spans.extend([(start + first, start + last)] if is_sentence else _line_spans(text, start + first, start + last))
    return spans


def _joined(text: str, language: str) -> list[Span]:
    """The sentences of `text` by sentencex, joined where an abbreviation was taken for the end of one."""
    from sentencex import get_sentence_boundaries

    spans: list[Span] = []
    for boundary in get_sentence_boundaries(_CODES.get(language, "en"), text):
        first, last = boundary["start_index"], boundary["end_index"]
        if spans and runs_on(text[spans[-1][0] : spans[-1][1]], text[first:last], language):
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return spans


def _line_spans(text: str, start: int, end: int) -> list[Span]:
    """The lines between `start` and `end` that are not a code fence."""
    lines = _LINE.finditer(text, start, end)
    return [match.span() for match in lines if match.group() and not _FENCE.match(match.group())]


def _strip(text: str, start: int, end: int) -> Span:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
