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
from deployments.cluster.start import ClusterSize
from models.errors.configuration import ConfigError
from serve.access.keys import read_keys
from serve.cli.main import app
from serve.cli.up.run import LocalConfig
from serve.config_file import check, read
from tests.conftest import ROOT

Raw = dict[str, Any]


def application(raw: Raw) -> Raw:
    first: Raw = raw["applications"][0]
    return first


def set_policy(raw: Raw) -> None:
    policy = {"policy_function": "no_such_module:Policy"}
    application(raw)["deployments"][1]["autoscaling_config"]["policy"] = policy


def deployment(raw: Raw, name: str) -> Raw:
    entry: Raw = next(each for each in application(raw)["deployments"] if each["name"] == name)
    return entry


def set_argument(raw: Raw, section: str, **values: Any) -> None:
    application(raw)["args"].setdefault(section, {}).update(values)


def set_milvus(raw: Raw) -> None:
    application(raw)["args"] = {"storage": {"milvus": {"uri": "milvus:19530"}}}


CHANGES: dict[str, Callable[[Raw], object]] = {
    "http_options.port: 99999 must be from 1 to 65535": lambda raw: raw["http_options"].update(port=99_999),
    "route_prefix: '/api' must be '/'": lambda raw: application(raw).update(route_prefix="/api"),
    "route_prefix: None must be '/'": lambda raw: application(raw).update(route_prefix=None),
    "autoscaling_config.policy: cannot be imported: ModuleNotFoundError": set_policy,
    "args.storage.milvus.uri": set_milvus,
    "http_options.port: '8000' must be a number, without quotes": lambda raw: raw["http_options"].update(port="8000"),
    "http_options.host: '' is no address": lambda raw: raw["http_options"].update(host=""),
    "proxy_location: Disabled: no request would reach": lambda raw: raw.update(proxy_location="Disabled"),
    "applications: must list one application, not 2": lambda raw: raw["applications"].append(
        application(raw) | {"name": "second", "route_prefix": "/second"}
    ),
    "num_cpus: '0.25' must be a number": lambda raw: deployment(raw, "Parser")["ray_actor_options"].update(
        num_cpus="0.25"
    ),
    "min_replicas: 'True' must be a number": lambda raw: deployment(raw, "Parser")["autoscaling_config"].update(
        min_replicas=True
    ),
    "max_replicas: '1.0' must be a whole number": lambda raw: deployment(raw, "Parser")["autoscaling_config"].update(
        max_replicas=1.0
    ),
    "args.ocr: 'yes' must be true or false": lambda raw: application(raw)["args"].update(ocr="yes"),
    "max_ongoing_requests: 1e+10 must be at most 2147483647": lambda raw: deployment(raw, "Parser").update(
        max_ongoing_requests=10**10
    ),
    "(Ingress).autoscaling_config.min_replicas: must be at least 1": lambda raw: deployment(raw, "Ingress")[
        "autoscaling_config"
    ].update(min_replicas=0),
    "args.storage.data_dir: '${HOME}' is not replaced": lambda raw: set_argument(raw, "storage", data_dir="${HOME}/x"),
    "args.storage.data_dir: '~' is not replaced": lambda raw: set_argument(raw, "storage", data_dir="~/x"),
    "args.quality.log.url: must be an absolute folder": lambda raw: set_argument(raw, "quality", log={"url": "log"}),
    "args.storage.data_dir: must be the path of a folder": lambda raw: set_argument(raw, "storage", data_dir=""),
    "args.storage: Input should be a valid dictionary": lambda raw: application(raw)["args"].update(storage="data"),
    "args.catalog: .: cannot be read": lambda raw: application(raw)["args"].update(catalog=""),
    "args.storage.database_url: not a URL": lambda raw: set_argument(
        raw, "storage", database_url="postgresql://host:port/db"
    ),
    "args.events.webhook: needs a secret": lambda raw: set_argument(raw, "events", webhook={"url": "https://host"}),
    "health_check_period_s: inf must be at most 86400": lambda raw: deployment(raw, "Parser").update(
        health_check_period_s=float("inf")
    ),
    "(Reranker).user_config.model: catalog.reranking: no model": lambda raw: deployment(raw, "Reranker").update(
        user_config={"model": ""}
    ),
    "(Reranker).graceful_shutdown_timeout_s: 59 is under query.total_s, 60": lambda raw: deployment(
        raw, "Reranker"
    ).update(graceful_shutdown_timeout_s=59),
    "(Ingress).max_ongoing_requests: 63 is under admission.max_questions, 64": lambda raw: deployment(
        raw, "Ingress"
    ).update(max_ongoing_requests=63),
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


def test_a_section_without_a_value_is_as_absent(tmp_path: Path) -> None:
    raw = copy.deepcopy(read(ROOT / "serve_config.yaml"))
    deployment(raw, "Ingress")["user_config"] = deployment(raw, "Parser")["ray_actor_options"] = None
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(raw))

    loaded = LocalConfig(path, None, None, size=ClusterSize(3)).load()

    assert "ray_actor_options" not in deployment(loaded, "Parser")
    assert "127.0.0.1" in deployment(loaded, "Ingress")["user_config"]["api"]["allowed_hosts"]


def test_aliases_of_yaml_may_be_merged_and_may_not_run_away(tmp_path: Path) -> None:
    path = tmp_path / "serve_config.yaml"
    path.write_text("applications: [{args: &a {storage: {a: 1}}, b: {<<: *a, c: 2}}]")
    assert read(path)["applications"][0]["b"] == {"storage": {"a": 1}, "c": 2}

    for text in ("applications: &a [*a]", "applications: [{name: a, import_path: a:b, args: &b {storage: *b}}]"):
        path.write_text(text)
        assert check_config(path)[0] == 2

    lists = "".join(f"    a{number + 1}: &a{number + 1} [{', '.join([f'*a{number}'] * 10)}]\n" for number in range(12))
    path.write_text(f"applications:\n- name: a\n  import_path: a:b\n  args:\n    a0: &a0 [1]\n{lists}")
    assert check_config(path)[0] == 2


def test_a_file_of_megabytes_is_no_deployment_file(tmp_path: Path) -> None:
    path = tmp_path / "serve_config.yaml"
    path.write_text("# " + "x" * 2**20)

    assert "it is no deployment file" in check_config(path)[1][0]


@pytest.mark.parametrize("content", [b"\x7fELF\xd0", b"- a", b"generation: [a]", b"generation: {1: {}}", b"a: 1\na: 2"])
def test_a_catalog_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_bytes(content)
    raw = copy.deepcopy(read(ROOT / "serve_config.yaml"))
    application(raw)["args"]["catalog"] = str(catalog)

    (problem,) = check(raw)

    assert problem.where == "applications[0].args.catalog"


def test_a_tenant_twice_in_the_keys_file_is_refused_and_no_key_is_shown(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text("acme: [hunter2]\nacme: [x]\n")
    with pytest.raises(ConfigError, match="key 'acme' appears twice") as refused:
        read_keys(keys)
    assert "hunter2" not in str(refused.value)

    keys.write_text("acme: [hunter2\nother: @")
    with pytest.raises(ConfigError) as refused:
        read_keys(keys)
    assert "hunter2" not in str(refused.value)


COMMANDS = (["keys", "list"], ["keys", "create", "me"], ["backups", "list", "/none"], ["backup", "/none/backup"])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_beside_the_service_refuses_a_wrong_file_without_its_secrets(
    command: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "serve_config.yaml"
    for arguments in ("{storage: {database_url: 'mysql://me:hunter2@host/db'}}", "hunter2", "{storag: {}}"):
        path.write_text(f"applications: [{{name: a, import_path: serve.app:build, args: {arguments}}}]")

        result = CliRunner().invoke(app, [*command, "--config", str(path)])

        assert isinstance(result.exception, ConfigError), result.exception
        assert "applications[0].args" in str(result.exception).replace("applications.0", "applications[0]")
        assert "hunter2" not in str(result.exception)


@pytest.mark.parametrize("command", [["list"], ["rotate", "key_x"], ["revoke", "key_x"]], ids=" ".join)
def test_a_wrong_folder_is_no_service_without_keys(command: list[str], tmp_path: Path) -> None:
    options = ["--config", str(ROOT / "serve_config.yaml"), "--data", str(tmp_path / "data")]

    result = CliRunner().invoke(app, ["keys", *command, *options])

    assert isinstance(result.exception, ConfigError)
    assert "holds no database" in str(result.exception)
    assert not (tmp_path / "data").exists()
