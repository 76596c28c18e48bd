"""Files, stores, models and search on the page."""

import pytest
from playwright.sync_api import expect

from models.corpus.records import PageRequest
from serve.settings import ApiConfig
from tests.serve.page.conftest import OpenSite

pytestmark = pytest.mark.slow

TEXT = {"name": "ovens.txt", "mimeType": "text/plain", "buffer": b"The oven heats to 250 degrees.\n"}


def test_a_refused_and_a_failed_file_say_why(open_site: OpenSite) -> None:
    site, page = open_site(ApiConfig(max_upload_bytes=4096))
    page.goto(f"{site.url}#/files")

    page.set_input_files("#file-input", TEXT | {"name": "large.txt", "buffer": b"x" * 5000})
    expect(page.locator(".upload .problem")).to_contain_text("The file is too large")
    expect(page.locator(".upload .problem")).to_contain_text("payload_too_large")
    page.set_input_files("#file-input", TEXT | {"name": "broken.pdf", "buffer": b"%PDF-1.7 broken"})
    expect(page.locator(".file[data-status=failed]")).to_contain_text("broken.pdf")
    expect(page.locator(".failure")).not_to_be_empty()

    page.set_input_files("#file-input", TEXT)
    expect(page.locator(".file[data-status=completed]")).to_have_count(1)
    page.get_by_role("button", name="Ingest failed files again").click()
    expect(page.locator("#announcer")).to_have_text("To be ingested again: 1 file.")
    assert site.posted("/v1/dead_letters/replay") == [{"vector_store_id": "default"}]


def test_a_deleted_file_is_gone(open_site: OpenSite) -> None:
    site, page = open_site()
    page.goto(f"{site.url}#/files")
    page.set_input_files("#file-input", TEXT)
    expect(page.locator(".status")).to_have_text("searchable")

    page.get_by_role("button", name="Delete ovens.txt").click()
    page.get_by_role("button", name="Delete everywhere").click()

    expect(page.locator("#files")).to_contain_text("no files yet")
    assert site.corpus.files.page("default", PageRequest(10, None, "desc")).items == ()


def test_a_search_shows_the_rank_of_each_stage(open_site: OpenSite) -> None:
    site, page = open_site()
    page.goto(f"{site.url}#/files")
    page.set_input_files("#file-input", [TEXT, TEXT | {"name": "mill.txt", "buffer": b"The mill opens in winter.\n"}])
    expect(page.locator(".file[data-status=completed]")).to_have_count(2)

    page.goto(f"{site.url}#/search")
    page.fill("#search-text", "How hot does the oven get?")
    page.keyboard.press("Enter")

    best = page.locator(".hit", has_text="ovens.txt").locator("dl")
    expect(best.locator("dt")).to_have_text(["Meaning", "Keywords", "Fused", "Final"])
    expect(best.locator(".rank").nth(1)).to_have_text("#1")
    page.locator(".hit-open").first.click()
    expect(page.locator("#source mark")).to_be_visible()


def test_a_store_is_created_chosen_and_deleted(open_site: OpenSite) -> None:
    site, page = open_site()
    page.goto(f"{site.url}#/stores")

    page.fill("#store-name", "manuals")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#store option:checked")).to_have_text("manuals")
    page.get_by_role("button", name="Delete manuals").click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()

    expect(page.locator("#stores")).not_to_contain_text("manuals")
    expect(page.locator("#store option")).to_have_text(["default"])


def test_the_api_reference_shows_each_operation_with_its_fields(open_site: OpenSite) -> None:
    site, page = open_site()
    page.goto(f"{site.url}docs#answer_query")

    operation = page.locator("#answer_query")
    expect(operation.locator(".field-name", has_text="vector_store_ids")).to_be_visible()
    expect(operation.locator(".status-code", has_text="429")).to_be_visible()
    page.fill("#filter", "dead_letters")
    expect(page.locator(".operation")).to_have_count(2)


def test_each_stage_shows_its_model_and_its_state(open_site: OpenSite) -> None:
    site, page = open_site()
    page.goto(f"{site.url}#/models")

    expect(page.locator("#models .file", has_text="embed")).to_contain_text("hashing")
    expect(page.locator("#models [data-state=ready]").first).to_have_text("ready")
    expect(page.locator(".names code")).to_contain_text(["ragserve"])
