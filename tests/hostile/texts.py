"""Texts that cost a careless parser hours or gigabytes, by kind. Parse them in a child process with limits only."""

from collections.abc import Callable

Make = Callable[[int], str]


def _growing_ticks(size: int) -> str:
    return "".join("a" + "`" * length for length in range(1, int((2 * size) ** 0.5)))


def _definitions(size: int) -> str:
    numbers = range(size // 28)
    return "".join(f"[r{number}]: /u{number}\n" for number in numbers) + "\n" + " ".join(f"[r{n}]" for n in numbers)


# Kind -> file name, and the text of about this many characters.
TEXTS: dict[str, tuple[str, Make]] = {
    "open brackets": ("a.md", lambda size: "[ " * (size // 2)),
    "open brackets in a word": ("a.md", lambda size: "[" * size),
    "unfinished images": ("a.md", lambda size: "![ " * (size // 3)),
    "unfinished targets": ("a.md", lambda size: "![a]( " * (size // 6)),
    "growing ticks": ("a.md", _growing_ticks),
    "reference definitions": ("a.md", _definitions),
    "nested quotes": ("a.md", lambda size: ">" * size + "a"),
    "emphasis": ("a.md", lambda size: "*a_ " * (size // 4)),
    "open tags": ("a.md", lambda size: "<a " * (size // 3)),
    "open comments": ("a.md", lambda size: "<!-- " * (size // 5)),
    "rules like front matter": ("a.md", lambda size: "---\n" * (size // 16)),
    "deep front matter": ("a.md", lambda size: "---\na: " + "[" * size + "\n---\ntext"),
    "deep TOML": ("a.md", lambda size: "+++\na = " + "[" * 15_000 + "\n+++\ntext"),
    "elements after a comment": ("a.html", lambda size: "<!-- <script> -->" + "<div>" * (size // 5)),
    "elements closed in comments": ("a.html", lambda size: "<div><!--</div>-->" * (size // 9)),
    "unclosed formatting": ("a.html", lambda size: "<b>" * 1_500 + "<p>x" * (size // 4)),
    "wide cells": ("a.html", lambda size: "<table>" + "<tr><td colspan=1000 rowspan=65534>a" * (size // 37)),
    "hidden in hidden": ("a.html", lambda size: "<div class=tab hidden>" * 1_900 + "text " * (size // 5)),
    "asides in asides": ("a.html", lambda size: "<aside>" * 1_900 + "text " * (size // 5)),
    "one word": ("a.txt", lambda size: "x" * size),
    "one word in a page": ("a.html", lambda size: "<p>" + "x" * size),
    "joiners": ("a.txt", lambda size: "\u200d" * (4 * size)),
    "five joiners": ("a.txt", lambda size: "\u200d" * 5),
    "combining marks": ("a.txt", lambda size: "a" + "\u0301" * size),
    "borders": ("a.txt", lambda size: ("-=" * (size // 6) + "x\n") * 3),
    "underlines": ("a.rst", lambda size: "=\n" * (size // 2)),
    "separators": ("a.csv", lambda size: "," * size),
    "quotes": ("a.csv", lambda size: '"' * size),
    "an endless cell": ("a.csv", lambda size: 'a,b\n1,"' + "x\n" * (size // 2)),
    "exclamation marks": ("a.txt", lambda size: "! [ a" * (size // 5)),
    "opening quotation marks": ("a.txt", lambda size: "\u201ca " * (size // 3)),
}
