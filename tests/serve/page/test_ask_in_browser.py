"""Ask on the page: the stream, citations, follow-ups, what was degraded, and the keyboard."""

import hashlib
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from models.errors.stages import StageUnavailableError
from serve.settings import ApiConfig
from tests.inline import Failing
from tests.serve.page.conftest import DESKTOP, PHONE, OpenSite, Site

pytestmark = pytest.mark.slow

# A character outside the basic plane: the API counts one, JavaScript two.
OVENS = "# Ovens 🔥🔥\n\nThe bakery opens at six. The oven heats to 250 degrees. The mill opens in winter.\n"


def add_file(site: Site, page: Page, name: str, text: str) -> None:
    """Upload a file by the page, and wait until it can be searched."""
    page.goto(f"{site.url}#/files")
    page.set_input_files("#file-input", {"name": name, "mimeType": "text/plain", "buffer": text.encode()})
    expect(page.locator(".file", has_text=name).locator(".status")).to_have_text("searchable")
    page.goto(f"{site.url}#/ask")


def ask(page: Page, question: str) -> None:
    page.fill("#question", question)
    page.keyboard.press("Enter")
    expect(page.locator(".turn").last.locator(".answer")).to_have_attribute("aria-busy", "false")


def test_an_answer_shows_its_sentence_in_its_file_its_evidence_and_its_times(open_site: OpenSite) -> None:
    site, page = open_site()
    add_file(site, page, "ovens.md", OVENS)

    ask(page, "How hot does the oven get?")
    page.locator(".cite").first.click()

    quote = "The oven heats to 250 degrees."
    expect(page.locator("#source mark")).to_have_text(quote)
    expect(page.locator("#source h2")).to_have_text("ovens.md")
    expect(page.locator("#source .document")).to_contain_text("The bakery opens at six. " + quote + " The mill")
    expect(page.locator("#source .note")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator("#source")).to_be_hidden()
    expect(page.locator(".cite").first).to_be_focused()

    page.get_by_text("How it was made").click()

    expect(page.locator(".chips")).to_contain_text("evidence")
    stages = page.locator(".waterfall li").evaluate_all("rows => rows.map((row) => row.dataset.stage)")
    assert [stage for stage in stages if stage != "cache"] == [
        "embed",
        "dense",
        "lexical",
        "fuse",
        "rerank",
        "generate",
    ]
    expect(page.locator(".waterfall .facts")).to_contain_text("complete after")


def test_a_follow_up_is_sent_with_the_conversation(open_site: OpenSite) -> None:
    site, page = open_site()
    add_file(site, page, "ovens.md", OVENS)

    ask(page, "How hot does the oven get?")
    ask(page, "When does the mill open?")
    page.get_by_role("button", name="New conversation").click()
    ask(page, "When does the bakery open?")

    messages = [body["messages"] for body in site.posted("/v1/chat/completions")]
    assert [[message["role"] for message in each] for each in messages] == [
        ["user"],
        ["user", "assistant", "user"],
        ["user"],
    ]
    assert "250 degrees" in messages[1][1]["content"]


def test_a_question_without_an_answer_in_the_documents_says_so(open_site: OpenSite) -> None:
    site, page = open_site()
    add_file(site, page, "ovens.md", OVENS)

    ask(page, "Who painted the ceiling of the Sistine Chapel in Rome?")

    expect(page.locator(".note.absent")).to_contain_text("Not in the documents")


def test_a_stage_that_is_down_is_named(open_site: OpenSite) -> None:
    site, page = open_site(reranker=Failing(StageUnavailableError("rerank")))
    add_file(site, page, "ovens.md", OVENS)

    ask(page, "How hot does the oven get?")

    expect(page.locator(".note.degraded")).to_contain_text("the reranker did not answer")


def test_the_text_of_documents_and_questions_is_never_markup(open_site: OpenSite) -> None:
    site, page = open_site()
    hostile = "<img src=x onerror=document.title=1>"
    add_file(site, page, f"{hostile}.txt", f"The oven {hostile} heats to 250 degrees.\n")

    ask(page, f"How hot does the oven get? {hostile}")
    page.locator(".cite").first.click()
    expect(page.locator("#source mark")).to_contain_text(hostile)
    page.goto(f"{site.url}#/search")
    page.fill("#search-text", hostile)
    page.keyboard.press("Enter")

    expect(page.locator(".hit").first).to_contain_text(hostile)
    assert page.locator("img:not(.brand img)").count() == 0
    assert page.title() == "Search · ragserve"


RENDER = """async ([text, annotations]) => {
  const { answerBlocks } = await import(new URL("page/answer.js", document.baseURI));
  const box = document.createElement("div");
  const marker = (id) => Object.assign(document.createElement("b"), { textContent: id });
  box.append(...answerBlocks(text, annotations, marker));
  return box.innerHTML;
}"""


def test_markdown_keeps_its_markers_and_no_markup(open_site: OpenSite) -> None:
    _, page = open_site()
    text = "🔥 **hot** <i>x</i> [1]\n\n- `a<b` [2]\n- two\n```\n[3] <u>\n```"
    places = [(text.index(f"[{number}]"), number) for number in (1, 2)]
    annotations = [{"url_citation": {"start_index": start, "end_index": start + 3}} for start, _ in places]

    html = page.evaluate(RENDER, [text, annotations])

    assert html == (
        "<p>🔥 <strong>hot</strong> &lt;i&gt;x&lt;/i&gt; <b>1</b></p>"
        "<ul><li><code>a&lt;b</code> <b>2</b></li><li>two</li></ul>"
        "<pre><code>[3] &lt;u&gt;</code></pre>"
    )


def test_a_service_with_keys_asks_for_one_and_keeps_it_in_the_tab(open_site: OpenSite, tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"acme: [{hashlib.sha256(b'secret').hexdigest()}]\n")
    _, page = open_site(ApiConfig(keys_file=keys))

    page.fill("#key-input", "wrong")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#key-why")).to_contain_text("does not know this key")
    page.fill("#key-input", "secret")
    page.press("#key-input", "Enter")

    ask(page, "How hot does the oven get?")
    expect(page.locator(".problem")).to_have_count(0)
    stored = page.evaluate("[sessionStorage.getItem('ragserve.key'), localStorage.length, document.cookie]")
    assert stored == ["secret", 0, ""]


def test_the_keyboard_alone_reaches_a_source(open_site: OpenSite) -> None:
    site, page = open_site()
    add_file(site, page, "ovens.md", OVENS)
    ask(page, "How hot does the oven get?")

    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "cite":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")

    expect(page.locator("#source mark")).to_be_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_no_view_is_wider_than_the_screen(open_site: OpenSite, size: tuple[int, int]) -> None:
    site, page = open_site(size=size)
    add_file(site, page, f"{'long-name' * 20}.md", OVENS + "x" * 400)
    ask(page, "How hot does the oven get? " + "y" * 200)

    for view in ("ask", "search", "files", "stores", "models"):
        page.goto(f"{site.url}#/{view}")
        expect(page.locator(f"#view-{view}")).to_be_visible()
        if view == "search":
            page.fill("#search-text", "oven")
            page.keyboard.press("Enter")
            expect(page.locator(".hit")).not_to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], view
