"""E-mail addresses: as typed, broken over a line, and written with "at" and "dot" in brackets."""

import re
from collections.abc import Iterator

from models.documents.personal_data.match import Clues, Match

# Every search begins at an @ or a bracket, and looks at so many characters around it: time is linear in any text.
MAX_LOCAL = 64
LETTERS = "A-Za-z0-9_\u00c0-\u024f\u0370-\u052f"  # no Chinese, which runs into an address without a space
LABEL = rf"(?!_)[{LETTERS}][{LETTERS}-]{{0,62}}+"
AT = r"[ \t]?[\[({<][ \t]?(?:at|AT|At|ät|ÄT|arroba)[ \t]?[\])}>][ \t]?"
DOT = r"(?:\.|[ \t]?[\[({<][ \t]?(?:dot|DOT|Dot|punkt|PUNKT|Punkt|point|punto)[ \t]?[\])}>][ \t]?)"
AS_TYPED = re.compile(rf"@[ \t]?\n?[ \t]?({LABEL}(?:\.{LABEL}){{1,8}})")
BROKEN = re.compile(rf"@({LABEL}\.[ \t]?\n[ \t]?(?:com|org|net|edu|gov|[a-z]{{2}}))(?![\w-])")
SPELT = re.compile(rf"{AT}({LABEL}(?:{DOT}{LABEL}){{1,8}})")
LOCAL_BEFORE = re.compile(rf"[{LETTERS}.%'+~-]{{1,{MAX_LOCAL}}}(?:[ \t]?\n[ \t]?)?$")
SIGNS = ".'~%+-"  # inside a local part, not at its beginning
TOP_LABEL = re.compile(r"(?<=[.\])}>\s])(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})$")
VERSION = re.compile(r"\d+\.\d")


def find_emails(text: str, clues: Clues) -> Iterator[Match]:
    """Addresses whose domain has at least two labels, the last of letters."""
    for pattern in (AS_TYPED, BROKEN, SPELT):
        for candidate in pattern.finditer(text):
            start, end = _local_start(text, candidate.start()), _domain_end(candidate)
            if start < candidate.start() < end and not _is_repository(text, start, candidate.start(), end):
                yield Match("email", start, end)


def _local_start(text: str, at: int) -> int:
    """Where the local part begins that ends at `at`; `at` itself without one."""
    local = LOCAL_BEFORE.search(text, max(0, at - MAX_LOCAL - 3), at)
    if local is None or not any(map(str.isalnum, local.group())):
        return at
    return local.end() - len(local.group().lstrip(SIGNS))


def _domain_end(candidate: re.Match[str]) -> int:
    """The end of the domain, without labels after the last of letters; 0 if there is none. name@1.2 is a version."""
    domain = candidate.group(1)
    if VERSION.match(domain):
        return 0
    while not TOP_LABEL.search(domain):
        cut = max(map(domain.rfind, ".])}>"))
        if cut < 0:
            return 0
        domain = domain[:cut].rstrip(" \t[({<")
    return candidate.start(1) + len(domain)


def _is_repository(text: str, start: int, at: int, end: int) -> bool:
    """git@host:path is where source code is."""
    return text[start:at] == "git" and text[end : end + 1] == ":"
