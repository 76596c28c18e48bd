"""Deployment files that an operator mistyped, by the hundred: each is refused by its key, and none ends in a traceback.

The shipped file is changed at one key, to one wrong value. A file that is accepted loads as `ragserve up` loads it.
"""

import copy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from ray.serve.schema import ServeDeploySchema

from deployments.cluster.start import ClusterSize
from deployments.cluster.strict_schema import _models_in
from models.errors.configuration import ConfigError
from serve.cli.up.run import LocalConfig
from serve.config_file import Machine, check, read
from serve.settings import Settings
from tests.conftest import ROOT

Path_ = tuple[str | int, ...]
Raw = dict[str, Any]

SHIPPED = read(ROOT / "serve_config.yaml")
TWO_CORES = Machine(2, 0)
PARTS = 3  # each wrong value is tried at a third of the keys
APPLICATION: Path_ = ("applications", 0)
WRONG: dict[str, Any] = {
    "text": "zzz",
    "no text": "",
    "a negative number": -7,
    "a huge number": 10**30,
    "no number": float("nan"),
    "a list": [1],
    "a mapping": {"zzz": 1},
    "a quoted number": "8",
    "true": True,
}


def paths_in(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from paths_in(inner, (*path, key))


def paths_of(model: type[BaseModel], path: Path_) -> Iterator[Path_]:
    for name, field in model.model_fields.items():
        yield (*path, name)
        for inner in _models_in(field.annotation):
            yield from paths_of(inner, (*path, name))


def changed(path: Path_, value: Any) -> Raw:
    """The shipped file with this value; what is missing on the way is added."""
    raw = copy.deepcopy(SHIPPED)
    place: Any = raw
    for key in path[:-1]:
        if isinstance(place, dict) and not isinstance(place.get(str(key)), dict | list):
            place[key] = {}
        place = place[key]
    place[path[-1]] = value
    return raw


def loads(raw: Raw, path: Path) -> None:
    path.write_text(yaml.safe_dump(raw))
    ServeDeploySchema(**LocalConfig(path, None, None, size=ClusterSize(2)).load())


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_value_is_refused_or_loads(kind: str, tmp_path: Path) -> None:
    paths = list(dict.fromkeys([*paths_in(SHIPPED), *paths_of(Settings, (*APPLICATION, "args"))]))
    paths = paths[list(WRONG).index(kind) % PARTS :: PARTS]
    accepted = [raw for path in paths if not check(raw := changed(path, WRONG[kind]), TWO_CORES)]

    assert len(accepted) < len(paths) / 4
    for raw in accepted[:: max(1, len(accepted) // 8)]:  # loading checks twice
        with suppress(ConfigError):  # of what this machine lacks, such as a keys file
            loads(raw, tmp_path / "serve_config.yaml")
