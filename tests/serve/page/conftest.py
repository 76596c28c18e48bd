"""The page in a real Chromium, served by the whole application on a port, without Ray."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from deployments.cluster.environment import free_port
from models.catalog import Catalog
from models.corpus.corpus import Corpus
from serve.live_services import LiveServices
from serve.settings import ApiConfig, Settings
from tests.inline import inline_clients, open_corpus
from tests.patience import PATIENCE_S

PATIENCE_MS = 60_000
DESKTOP, PHONE = (1280, 860), (390, 844)
PROGRAM = shutil.which("chromium")


@dataclass(frozen=True)
class Site:
    url: str
    corpus: Corpus
    requests: list[Request]

    def posted(self, path: str) -> list[Any]:
        """The JSON bodies that the page sent to a path."""
        return [request.post_data_json for request in self.requests if urlsplit(request.url).path == path]


OpenSite = Callable[..., tuple[Site, Page]]


@contextmanager
def serving(folder: Path, api: ApiConfig, **replaced: Any) -> Iterator[tuple[str, Corpus]]:
    """The application on a free port, with some clients `replaced` by name, until the block ends."""
    corpus, port = open_corpus(folder), free_port()
    live = LiveServices(Settings(api=api), Catalog.open(None), corpus, replace(inline_clients(corpus), **replaced))
    server = uvicorn.Server(uvicorn.Config(live.app, port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + PATIENCE_S
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < end
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/", corpus
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("no program named chromium: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"], timeout=PATIENCE_MS)
        yield opened
        opened.close()


@pytest.fixture
def open_site(browser: Browser, tmp_path: Path) -> Iterator[OpenSite]:
    """Open the page of a service of its own. At the end: no error in the console, and no request to another host."""
    problems: list[str] = []
    requests: list[Request] = []
    opened: list[Any] = []

    def open_site(api: ApiConfig | None = None, size: tuple[int, int] = DESKTOP, **replaced: Any) -> tuple[Site, Page]:
        service = serving(tmp_path, api or ApiConfig(), **replaced)
        url, corpus = service.__enter__()
        opened.append(service)
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        opened.append(page)
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request))
        page.goto(url)
        return Site(url, corpus, requests), page

    yield open_site
    for each in reversed(opened):
        each.close() if isinstance(each, Page) else each.__exit__(None, None, None)
    # Chromium reports each status of 400 or more. Those are errors of the service that the page shows.
    assert [problem for problem in problems if not problem.startswith("Failed to load resource")] == []
    assert {urlsplit(request.url).hostname for request in requests} <= {"127.0.0.1"}
