"""Ray's silent traps, one test each. Those that need a cluster are in tests/deployments."""

import ast
import dataclasses
import importlib
import inspect
import pickle
import subprocess
from pathlib import Path

import pytest

import models.errors
import models.types
from deployments.calls.envelope import Envelope
from deployments.cluster import environment
from models.deadline import Deadline
from models.errors.base import RagError
from models.index.follow import DenseRequest, LexicalRequest
from models.reranking.base import RerankRequest
from models.types.request_context import RequestContext
from tests.submodules import submodules

ROOT = Path(__file__).parents[2]
WIRE_TYPES = [
    kind
    for module in submodules(models.types)
    for _, kind in inspect.getmembers(module, dataclasses.is_dataclass)
    if kind not in (Deadline, RequestContext)  # neither leaves its process
] + [Envelope, DenseRequest, LexicalRequest, RerankRequest]


def _errors(kind: type[RagError] = RagError) -> list[type[RagError]]:
    importlib.import_module("serve.cli.remote")
    list(submodules(models.errors))
    return [kind, *(error for subclass in kind.__subclasses__() for error in _errors(subclass))]


@pytest.mark.parametrize("package", ["models", "deployments", "serve"])
def test_gitignore_does_not_hide_a_package_from_rays_upload(package: str) -> None:
    files = [str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")]

    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *files], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ignored.returncode == 1, ignored.stdout + ignored.stderr


def test_the_builders_file_has_no_future_annotations() -> None:
    # With them Ray passes a raw dict for `settings`.
    tree = ast.parse((ROOT / "serve" / "app.py").read_text())

    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]

    assert "__future__" not in imported


def test_ray_reads_the_builders_settings_as_a_type() -> None:
    from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

    from serve.settings import Settings

    received = []

    def builder(settings: Settings) -> object:
        received.append(settings)
        raise LookupError

    builder.__annotations__ = inspect.get_annotations(importlib.import_module("serve.app").build)
    with pytest.raises(LookupError):
        call_user_app_builder_with_args_if_necessary(builder, {"retrieval": {"candidates": 7}})

    assert isinstance(received[0], Settings)
    assert received[0].retrieval.candidates == 7


@pytest.mark.parametrize("kind", _errors(), ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling(kind: type[RagError]) -> None:
    samples = {"known": ["one", "two"], "retry_after_s": 2.0, "budget_s": 1.5, "param": "query"}
    parameters = [name for name in inspect.signature(kind.__init__).parameters if name not in ("self", "kwargs")]
    error = kind(*(samples.get(name, f"some {name}") for name in parameters if name != "args"))

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is kind
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize("kind", WIRE_TYPES, ids=lambda kind: kind.__name__)
def test_a_type_sent_between_replicas_is_a_plain_frozen_dataclass(kind: type) -> None:
    # A frozen dataclass without slots pickles in half the time of one with slots or of a pydantic model.
    assert kind.__dataclass_params__.frozen
    assert not hasattr(kind, "__slots__")


def test_rays_auth_mode_is_set_on_purpose() -> None:
    assert environment.SETTINGS["RAY_AUTH_MODE"] in ("token", "disabled")
