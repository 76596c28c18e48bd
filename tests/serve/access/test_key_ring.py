"""The keys file: who is let in as which tenant, and what happens while it is edited."""

from pathlib import Path

import pytest

from models.corpus.api_keys import digest_of
from models.errors.access import UnauthorizedError
from models.errors.configuration import ConfigError
from serve.access.credentials import Access
from serve.access.keys import KeyRing


async def tenant_of(keys: KeyRing, header: str | None) -> str:
    return (await Access([keys]).caller(header)).tenant


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(
        tmp_path / "keys.yaml", f"acme: [{digest_of('one')}, {digest_of('two')}]\nglobex: [{digest_of('x')}]\n"
    )


async def test_a_key_belongs_to_one_tenant(path: Path) -> None:
    keys = KeyRing(path)

    assert [await tenant_of(keys, f"Bearer {key}") for key in ("one", "two", "x")] == ["acme", "acme", "globex"]
    assert await tenant_of(keys, "bearer  one ") == "acme"


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "one", "Basic one", "Bearer three", "Bearer acme", f"Bearer {digest_of('one')}"],
)
async def test_a_credential_that_is_no_key_is_refused(path: Path, header: str | None) -> None:
    with pytest.raises(UnauthorizedError) as caught:
        await tenant_of(KeyRing(path), header)

    assert "three" not in str(caught.value)


def test_the_digest_is_what_sha256sum_prints() -> None:
    assert digest_of("test") == "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


async def test_a_changed_file_adds_and_revokes_keys_at_once(path: Path) -> None:
    keys = KeyRing(path)

    write(path, f"acme: [{digest_of('two')}, {digest_of('new')}]\n")

    assert await tenant_of(keys, "Bearer new") == "acme"
    for revoked in ("one", "x"):
        with pytest.raises(UnauthorizedError):
            await tenant_of(keys, f"Bearer {revoked}")


async def test_a_file_that_is_gone_is_logged_once_and_its_keys_stay(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys, away = KeyRing(path), path.with_name("away.yaml")
    for _ in range(2):
        path.rename(away)  # noqa: ASYNC240
        gone = [await tenant_of(keys, "Bearer one") for _ in range(3)]
        away.rename(path)
        assert [*gone, await tenant_of(keys, "Bearer one")] == ["acme"] * 4

    assert caplog.text.count("stay valid") == 2


async def test_a_half_written_file_locks_no_caller_out(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = KeyRing(path)

    write(path, "acme: [")

    assert await tenant_of(keys, "Bearer one") == "acme"
    assert "stay valid" in caplog.text
    path.unlink()  # noqa: ASYNC240
    assert await tenant_of(keys, "Bearer x") == "globex"
    write(path, f"acme: [{digest_of('new')}]\n")
    assert await tenant_of(keys, "Bearer new") == "acme"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "map each tenant"),
        ("[]", "map each tenant"),
        ("a: [", "cannot be read"),
        ("a b: []", "1 to 64 letters"),
        ("1: []", "key 1 must be a text"),
        ("acme: key", "must be a list"),
        ("acme: [my-secret-key]", "not a SHA-256 digest"),
        (f"acme: [{digest_of('one').upper()}]", "not a SHA-256 digest"),
        (f"acme: [{digest_of('one')}]\nglobex: [{digest_of('one')}]", "have the same key"),
    ],
)
def test_a_wrong_file_is_refused_at_the_start_without_printing_a_key(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        KeyRing(write(tmp_path / "keys.yaml", text))

    assert "my-secret-key" not in str(caught.value)


def test_a_missing_file_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        KeyRing(tmp_path / "none.yaml")
