"""Which nesting of HTML is hostile. lexbor is never called: it would take minutes."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from models.documents.html_guard import refuse_hostile_nesting
from models.documents.parse import parse
from models.errors.requests import UnreadableDocumentError

NUM = 2_100
HOSTILE = {
    "open": "<div>" * NUM,
    "after a comment with a script": "<!-- <script> -->" + "<div>" * NUM,
    "closed in a comment": "<div><!--</div>-->" * NUM,
    "closed in an attribute": '<div title="</div>">' * NUM,
    "closed in an unquoted attribute": "<div title=</div>" * NUM,
    "closed in a text field": "<div><textarea></div></textarea>" * NUM,
    "closed in a style": "<div><style></div></style>" * NUM,
    "closed in a script": "<div><script></div></script>" * NUM,
    "closed in a script inside a script": "<div><script><!--<script></script></div>--></script>" * NUM,
    "closed in an instruction": "<div><?</div>" * NUM,
    "closed in a declaration": "<div><!</div>" * NUM,
    "closed by another name": "<div></span>" * NUM,
    "closed across a border": "<span><div></span>" * NUM,
    "closed across a table": "<div><table><td></div></table>" * NUM,
    "after character data": "<![CDATA[>" + "<div>" * 10 * NUM,
    "unclosed formatting": "".join(f"<font size={number}>" for number in range(1_500)) + "<p>x" * 1_000,
    "a name of its own": "<x-y>" * NUM,
    "closed like XML": "<div/>" * NUM,
}
HARMLESS = {
    "paragraphs": "<script>if (a<b) '<div>'</script>" + "<p>text <br>" * 3_000,
    "cells with unclosed formatting": "<table>" + "<tr><td><font>x<td><b>y" * 2_000,
    "items": "<ul>" + "<li>x" * 3_000,
    "a drawing": "<svg><g>" + '<path d="x"/>' * 3_000 + "</g></svg>",
    "a script that writes elements": "<script>" + '"<div>";' * 3_000 + "</script>",
    "siblings": "<div><span>x</div>" * 3_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_elements_that_stay_open_are_refused(kind: str) -> None:
    with pytest.raises(UnreadableDocumentError, match="nested too deeply"):
        refuse_hostile_nesting(HOSTILE[kind], "a.html")


@pytest.mark.parametrize("kind", HARMLESS)
def test_many_elements_side_by_side_are_read(kind: str) -> None:
    refuse_hostile_nesting(HARMLESS[kind], "a.html")

    assert LexborHTMLParser(HARMLESS[kind]).body is not None


@pytest.mark.parametrize("filename", ["a.html", "a.md"])
def test_hostile_pages_are_refused_in_each_format(filename: str) -> None:
    with pytest.raises(UnreadableDocumentError, match="nested too deeply"):
        parse(HOSTILE["closed in a comment"].encode(), filename)
