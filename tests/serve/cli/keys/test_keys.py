"""`ragserve keys`: what it prints works as a key, and what it revokes no longer does."""

import re
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.corpus.corpus import Corpus
from models.errors.access import UnauthorizedError
from models.errors.configuration import ConfigError
from models.errors.requests import NotFoundError
from serve.access.stored_keys import StoredKeys
from serve.cli.main import app
from tests.conftest import ROOT


def run(folder: Path, *arguments: str) -> str:
    options = ("--config", str(ROOT / "serve_config.yaml"), "--data", str(folder))
    result = CliRunner().invoke(app, ["keys", *arguments, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def secret_in(output: str) -> str:
    (secret,) = re.findall(r"^rag-\S+$", output, re.MULTILINE)
    return secret


async def actor(folder: Path, secret: str) -> str:
    with closing(Corpus.open(f"sqlite:///{folder / 'ragserve.db'}", folder / "files")) as corpus:
        caller = await StoredKeys(corpus.api_keys).find(secret)
        assert caller is not None
        return f"{caller.tenant} {caller.role} {sorted(caller.vector_stores or ())}"


async def test_keys_are_created_rotated_and_revoked(tmp_path: Path) -> None:
    created = run(tmp_path, "create", "portal", "--tenant", "acme", "--role", "writer", "--store", "a", "--days", "9")
    key_id = created.split(":")[0]
    rotated = run(tmp_path, "rotate", key_id, "--overlap-hours", "1")
    listed = run(tmp_path, "list", "--tenant", "acme")
    before = [await actor(tmp_path, secret_in(output)) for output in (created, rotated)]

    run(tmp_path, "revoke", key_id)

    assert before == ["acme writer ['a']"] * 2
    assert len(listed.splitlines()) == 2
    assert secret_in(created) not in listed
    assert run(tmp_path, "list", "--tenant", "other") == ""
    assert "revoked" in run(tmp_path, "list")
    with pytest.raises(UnauthorizedError, match="was revoked"):
        await actor(tmp_path, secret_in(created))
    assert await actor(tmp_path, secret_in(rotated)) == "acme writer ['a']"


def test_an_unknown_key_is_told(tmp_path: Path) -> None:
    run(tmp_path, "create", "portal")

    with pytest.raises(NotFoundError, match="no key with id 'key_x'"):
        run(tmp_path, "revoke", "key_x")


async def test_the_folder_of_an_image_is_that_of_its_variable(tmp_path: Path) -> None:
    command = ["keys", "create", "me", "--config", str(ROOT / "serve_config.yaml")]

    created = CliRunner().invoke(app, command, env={"RAGSERVE_DATA": str(tmp_path)}, catch_exceptions=False)

    assert await actor(tmp_path, secret_in(created.output)) == "default reader []"


def test_a_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(ConfigError, match=r"storage\.data_dir: /proc/ragserve cannot be made: "):
        CliRunner().invoke(
            app,
            ["keys", "create", "me", "--config", str(ROOT / "serve_config.yaml"), "--data", "/proc/ragserve"],
            catch_exceptions=False,
        )
