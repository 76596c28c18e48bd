"""The page's files over HTTP: what a browser may keep, and what it may load."""

import re
import tomllib
from pathlib import Path

import httpx
import pytest

from serve.api import page
from tests.conftest import ROOT
from tests.serve.api.api_samples import Clock, application


@pytest.fixture
def http(tmp_path: Path) -> httpx.AsyncClient:
    app = application(tmp_path, Clock()).app
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://ragserve")


async def test_the_page_is_kept_until_it_changes(http: httpx.AsyncClient) -> None:
    first = await http.get("/")
    etag = first.headers["etag"]
    same = await http.get("/", headers={"if-none-match": f'"other", W/{etag}'})
    changed = await http.get("/", headers={"if-none-match": '"other"'})

    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert (changed.status_code, changed.content) == (200, first.content)


async def test_every_file_has_a_policy_that_allows_this_host_alone(http: httpx.AsyncClient) -> None:
    for path in ("/", "/page/app.js", "/page/base.css", "/page/icon.svg"):
        response = await http.get(path)
        policy = response.headers["content-security-policy"]

        assert response.status_code == 200, path
        assert response.headers["x-content-type-options"] == "nosniff"
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy


async def test_every_file_that_another_one_names_exists(http: httpx.AsyncClient) -> None:
    for name, asset in page.assets().items():
        text = asset.content.decode()
        named = re.findall(r'(?:href|src)="page/([^"]+)"', text) + re.findall(r'from "\./([^"]+)"', text)
        for other in named:
            assert (await http.get(f"/page/{other}")).status_code == 200, (name, other)
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text), name


async def test_a_file_outside_the_folder_is_unknown(http: httpx.AsyncClient) -> None:
    for name in ("app.py", "..%2fsettings.py", "%2e%2e/settings.py", "none.js"):
        assert (await http.get(f"/page/{name}")).status_code == 404, name


def test_a_wheel_has_the_page() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]

    assert "page/*" in tool["package-data"]["serve"]
    assert {path.suffix for path in page.FOLDER.iterdir()} <= page.MEDIA_TYPES.keys()
