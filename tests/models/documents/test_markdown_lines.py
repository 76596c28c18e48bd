"""Rendered Markdown stands at the lines of its file."""

import pytest

from models.documents.parse import parse
from tests.models.documents.test_places import place_of

PAGE = """\
---
title: Ovens
---

# Ovens &amp; mills

The **oven** heats to
[250 degrees](https://example.org/oven "The oven heats")
and `stays` there.

1. Plug it in.
7. Wait.

```sh
oven --heat 250

oven --stop
```

| model | heat |
|-------|------|
| A     | 250  |
| B     | 300  |

<p hidden>The mill is secret.</p>

The mill grinds rye.

## Install

Install

日本語の文章は
空白を使わない。

Footnote here[^n].

[^n]: The note itself.
"""

PLACES = {
    "The oven heats to 250": "lines 7-9",
    "Plug it in": "line 11",
    "Wait.": "line 12",
    "oven --stop": "line 17",
    "oven --heat 250\n\noven": "lines 15-17",
    "A | 250": "line 22",
    "A | 250\nB | 300": "lines 22-23",
    "The mill grinds": "line 27",
    "空白を使わない": "lines 33-34",
    "The note itself": "line 38",
}


@pytest.mark.parametrize("words", PLACES)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_text_stands_at_the_lines_that_it_is_rendered_from(words: str, line_end: str) -> None:
    document = parse(PAGE.replace("\n", line_end).encode(), "a.md")

    assert place_of(document, words) == PLACES[words]


def test_equal_lines_stand_each_at_its_own() -> None:
    lines = [line for number in range(40) for line in ("Install", "", f"- step {number}", "- again", "")]

    document = parse("\n".join(lines).encode(), "a.md")

    for number in range(40):
        assert place_of(document, f"step {number}\n- again") == f"lines {5 * number + 3}-{5 * number + 4}"


def test_lines_whose_text_was_changed_have_no_place() -> None:
    document = parse(b"x\n\n<ol><li>one</li></ol>\n\nlast", "a.md")

    assert place_of(document, "one") == "line 3"
    assert place_of(document, "last") == "line 5"
    assert parse(b"---\ntitle: T\n---\n<br>![a picture](x.png)", "a.md").anchors != ()
