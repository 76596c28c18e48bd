"""What an operator types wrong ends in one line that names it, and with the exit status of an invalid file."""

import copy
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from deployments.cluster.environment import free_port, is_free, why_not
from serve.cli.main import app
from serve.config_file import read
from tests.conftest import ROOT

Raw = dict[str, Any]


def application(raw: Raw) -> Raw:
    first: Raw = raw["applications"][0]
    return first


def set_policy(raw: Raw) -> None:
    policy = {"policy_function": "no_such_module:Policy"}
    application(raw)["deployments"][1]["autoscaling_config"]["policy"] = policy


def set_milvus(raw: Raw) -> None:
    application(raw)["args"] = {"storage": {"milvus": {"uri": "milvus:19530"}}}


CHANGES: dict[str, Callable[[Raw], object]] = {
    "http_options.port: 99999 must be from 1 to 65535": lambda raw: raw["http_options"].update(port=99_999),
    "route_prefix: 'api' must begin with '/'": lambda raw: application(raw).update(route_prefix="api"),
    "route_prefix: None must begin with '/'": lambda raw: application(raw).update(route_prefix=None),
    "autoscaling_config.policy: cannot be imported: ModuleNotFoundError": set_policy,
    "args.storage.milvus.uri": set_milvus,
}
TEXTS = {
    "key 5 must be a text (line 1, column 1)": "5: x",
    "must be a text (line 1, column 3)": "? [a, b]\n: x",
    "key 'a' appears twice (line 2, column 1)": "a: 1\na: 2",
    "found character '\\t' that cannot start any token (line 1, column 3)": "a:\tb\n\t- c",
    "invalid literal for int() with base 10: 'x'": "a: !!int x",
    "it is nested too deeply": "[" * 3000,
    "invalid start byte": b"\xff\xfe",
}


def check_config(path: Path) -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, ["check-config", str(path), "--cpus", "2"], catch_exceptions=False)
    return result.exit_code, result.output.splitlines()


@pytest.mark.parametrize("problem", CHANGES)
def test_a_wrong_value_is_one_line(problem: str, tmp_path: Path) -> None:
    raw = copy.deepcopy(read(ROOT / "serve_config.yaml"))
    CHANGES[problem](raw)
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(raw))

    status, lines = check_config(path)

    assert (status, len(lines)) == (2, 1), lines
    assert problem in lines[0]


@pytest.mark.parametrize("problem", TEXTS)
def test_a_file_that_is_not_yaml_is_one_line(problem: str, tmp_path: Path) -> None:
    path, text = tmp_path / "serve_config.yaml", TEXTS[problem]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    status, lines = check_config(path)

    assert (status, len(lines)) == (2, 1), lines
    assert problem in lines[0]
    assert "is not YAML" in lines[0]


def test_an_address_of_another_machine_is_no_port_in_use() -> None:
    error = why_not("203.0.113.9", free_port())

    assert error is not None
    assert "assign requested address" in str(error)
    assert why_not("no-such-host.invalid", free_port()) is not None


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free("127.0.0.1", server.getsockname()[1])
