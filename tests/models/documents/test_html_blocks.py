"""What a page says by its elements: formats, lines of code, merged cells, and parts that a click opens."""

import pytest
from document_checks import assert_well_formed, block_texts

from models.documents.parse import parse


def blocks_of(body: str) -> list[tuple[str, str]]:
    document = parse(f"<html><body>{body}</body></html>".encode(), "a.html")
    assert_well_formed(document)
    return block_texts(document)


def text_of(body: str) -> str:
    return "\n".join(text for _, text in blocks_of(body))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("2<sup>40</sup> bytes", "2^40 bytes"),
        ("10<sup>&minus;3</sup> m", "10^\u22123 m"),
        ("in 2019<sup><a href='#n4'>4</a></sup>.", "in 2019^4."),
        ("H<sub>2</sub>O", "H2O"),
        ("the 3<sup>rd</sup> pump", "the 3rd pump"),
        ("10<span style='font-size:8px; vertical-align: super'>6</span>", "10^6"),
        ("a price of <s>80</s> 60", "a price of ~~80~~ 60"),
        ("a price of <strike>80</strike> 60", "a price of ~~80~~ 60"),
        ("a price of <span style='text-decoration: line-through'>80</span> 60", "a price of ~~80~~ 60"),
        ("<del>first<br>second</del>", "~~first~~\n~~second~~"),
    ],
)
def test_formats_that_carry_meaning_are_written(source: str, text: str) -> None:
    assert text_of(f"<p>{source}</p>") == text


def test_formats_are_written_in_headings_cells_and_lists() -> None:
    body = (
        "<h2>Area in m<sup>2</sup></h2><ul><li>10<sup>9</sup></li></ul>"
        "<table><tr><th>a</th><td>5<sup>3</sup></td></tr></table><del><p>All of this.</p></del>"
    )

    assert text_of(body) == "Area in m^2\n- 10^9\na | 5^3\n~~All of this.~~"


@pytest.mark.parametrize(
    "code",
    [
        "<pre><code>make<br>make test</code></pre>",
        "<pre><div>make</div><div>make test</div></pre>",
        "<pre><code><span style='display: block'>make</span><span style='display:block'>make test</span></code></pre>",
        "<pre><ol><li><code>make</code></li>\n<li><code>make test</code></li></ol></pre>",
        "<pre><code><span class='line'>make</span>\n<span class='line'>make test</span></code></pre>",
        "<code><div><span>make</span></div><div><span>make test</span></div></code>",
        "<pre><span class='lineno'>1</span>make\n<span class='lineno'>2</span>make test<button>Copy</button></pre>",
        "<table><tr><td class='gutter'><pre>1\n2</pre></td><td><pre>make<br>make test</pre></td></tr></table>",
    ],
)
def test_each_line_of_code_is_a_line(code: str) -> None:
    assert blocks_of(code) == [("code", "make\nmake test")]


def test_an_element_without_text_is_an_empty_line_of_code() -> None:
    code = "<pre><div>a</div>\n<div></div>\n<div>  b</div></pre>"

    assert blocks_of(code) == [("code", "a\n\n  b")]


def test_rows_under_merged_cells_fit_the_names_of_their_columns() -> None:
    body = (
        "<table><thead><tr><th rowspan=2>Site</th><th colspan=2>Flow</th></tr>"
        "<tr><th>Day</th><th>Night</th></tr></thead>"
        "<tr><td rowspan=2>North</td><td>7</td><td>2</td></tr><tr><td>8</td><td>3</td></tr>"
        "<tr><td>South</td><td colspan=2>closed</td></tr></table>"
    )

    assert text_of(body).split("\n") == [
        "Site | Flow | Flow",
        "Site | Day | Night",
        "North | 7 | 2",
        "North | 8 | 3",
        "South | closed |",
    ]


@pytest.mark.parametrize(
    "part",
    [
        "<aside><p>Close the valve.</p></aside>",
        "<div role=complementary>Close the valve.</div>",
        "<details><summary>Why?</summary>Close the valve.</details>",
        "<div role=tabpanel hidden>Close the valve.</div>",
        "<div class='tab-pane' style='display: none'>Close the valve.</div>",
        "<div hidden=until-found>Close the valve.</div>",
        "<button aria-controls=x>Why?</button><div id=x hidden>Close the valve.</div>",
        "<a data-toggle=collapse href='#y'>Why?</a><p id=y aria-hidden=true>Close the valve.</p>",
        "<ul><li><a href='#z'>Why?</a></li></ul><div id=z style='display:none'>Close the valve.</div>",
        "<dl><dt><button>Close the valve.</button></dt></dl>",
        "<h3><button class=accordion-button>Close the valve.</button></h3>",
        "<button class=accordion aria-expanded=false>Close the valve.</button>",
        "<article><header><p>Close the valve.</p></header></article>",
        "<blockquote><footer>Close the valve.</footer></blockquote>",
    ],
)
def test_parts_that_a_click_opens_are_read(part: str) -> None:
    assert "Close the valve." in text_of(f"<main><p>Clean it.</p>{part}</main>")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("<nav>Menu</nav>", "menus"),
        ("<aside><a href=x>Other page</a></aside>", "side columns"),
        ("<aside class='sidebar'>Subscribe</aside>", "side columns"),
        ("<p hidden>Draft</p>", "hidden passages"),
        ("<div role=dialog>Cookies?</div>", "dialogs"),
        ("<button>Share</button>", "buttons"),
        ("<footer>Imprint</footer>", "page headers and footers"),
        ("<svg><text>Logo</text></svg>", "embedded objects"),
    ],
)
def test_what_is_left_out_is_counted(part: str, name: str) -> None:
    document = parse(f"<html><body><p>Clean it.</p>{part}{part}</body></html>".encode(), "a.html")

    assert document.text == "Clean it."
    assert document.omissions == ((name, 2),)


def test_a_tab_is_named_at_its_panel() -> None:
    body = (
        "<div role=tablist><button role=tab id=a>Linux</button><button role=tab id=b>Windows</button></div>"
        "<div role=tabpanel aria-labelledby=a>apt</div><div role=tabpanel aria-labelledby=b hidden>winget</div>"
    )

    assert text_of(body) == "Linux\napt\nWindows\nwinget"


def test_a_tab_without_a_panel_is_read_where_it_stands() -> None:
    assert text_of("<div role=tablist><button role=tab>Linux</button></div><p>apt</p>") == "Linux\napt"


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("<math><msup><mi>x</mi><mn>2</mn></msup><mo>+</mo><mn>1</mn></math>", "x^2+1"),
        (
            "<math><mi>x</mi><annotation encoding='application/x-tex'>{\\displaystyle x_{1}}</annotation></math>",
            "x_{1}",
        ),
        ("<math alttext='a/b'><mfrac><mi>a</mi><mi>b</mi></mfrac></math>", "a/b"),
    ],
)
def test_formulas_are_read(formula: str, text: str) -> None:
    assert text_of(f"<p>{formula}</p>") == text


def test_all_main_elements_are_read() -> None:
    assert text_of("<p>no</p><main>one<main>two</main></main><div role=main>three</div>") == "one\ntwo\nthree"


def test_passages_outside_the_main_part_are_counted() -> None:
    page = b"<nav>Menu</nav><div><main>one</main><aside>two</aside></div><p>three</p><footer>Imprint</footer>"

    assert parse(page, "a.html").omissions == (("passages outside the main part", 2),)
