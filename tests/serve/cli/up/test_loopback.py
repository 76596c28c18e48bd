"""The names that `ragserve up` answers to on a loopback address."""

import copy
from typing import Any

import pytest

from serve.cli.up.loopback import LOOPBACK_NAMES, allow_loopback_names
from serve.config_file import check, read, settings_of
from tests.conftest import ROOT

SHIPPED = read(ROOT / "serve_config.yaml")


@pytest.fixture
def raw() -> dict[str, Any]:
    return copy.deepcopy(SHIPPED)


def test_the_shipped_file_answers_to_this_machine_alone(raw: dict[str, Any]) -> None:
    aliases = settings_of(raw).api.model_aliases
    allow_loopback_names(raw)

    api = settings_of(raw).api
    assert (api.allowed_hosts, api.model_aliases) == (LOOPBACK_NAMES, aliases)
    assert check(raw) == []


def test_an_address_of_the_user_is_a_name_too(raw: dict[str, Any]) -> None:
    raw["http_options"]["host"] = "127.0.0.2"
    allow_loopback_names(raw)

    assert settings_of(raw).api.allowed_hosts == (*LOOPBACK_NAMES, "127.0.0.2")


def test_keys_another_address_and_chosen_names_stay_as_they_are(raw: dict[str, Any]) -> None:
    changes: list[dict[str, Any]] = [
        {"host": "0.0.0.0"},
        {"host": "rag.example.org"},
        {"api": {"keys_file": "keys.yaml"}},
        {"api": {"allowed_hosts": ["rag.example.org"]}},
        {"api": {"allowed_hosts": []}},
    ]
    for change in changes:
        changed = copy.deepcopy(raw)
        changed["http_options"] |= {"host": change.get("host", "127.0.0.1")}
        changed["applications"][0]["args"]["api"] = change.get("api", {})
        before = copy.deepcopy(changed)
        allow_loopback_names(changed)
        assert changed == before
