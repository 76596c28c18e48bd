"""`ragserve up --host`: beyond this machine, callers need keys unless the file says otherwise."""

from typing import Any

import pytest

from serve.cli.up.loopback import listen_on
from serve.config_file import check, read
from tests.conftest import ROOT


def file(**api: str) -> dict[str, Any]:
    raw = read(ROOT / "serve_config.yaml")
    if api:
        raw["applications"][0]["args"]["api"] = api
    return raw


@pytest.mark.parametrize(
    ("host", "api", "access"),
    [
        ("0.0.0.0", {}, "keys"),
        ("10.1.2.3", {}, "keys"),
        ("0.0.0.0", {"access": "open"}, "open"),
        ("127.0.0.2", {}, None),
        ("localhost", {}, None),
    ],
)
def test_the_address_decides_about_keys(host: str, api: dict[str, str], access: str | None) -> None:
    raw = file(**api)

    listen_on(raw, host)

    assert raw["http_options"]["host"] == host
    assert (raw["applications"][0]["args"].get("api") or {}).get("access") == access
    assert host == "127.0.0.2" or check(raw) == []
