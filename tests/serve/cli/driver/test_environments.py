"""The peers' virtual environments: installed once, each with its pinned versions."""

from pathlib import Path

import pytest

from serve.cli.driver.peers import environments
from serve.cli.driver.peers.environments import ServerStartError, environment_of


@pytest.mark.slow
def test_a_failed_installation_gives_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "absent.txt").write_text(f"absent @ file://{tmp_path}/absent.whl\n")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)

    with pytest.raises(ServerStartError, match=r"absent cannot be started: .*absent\.whl"):
        environment_of("absent", tmp_path / "peers")


@pytest.mark.slow
def test_an_environment_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nothing.txt").write_text("")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)

    programs = environment_of("nothing", tmp_path / "peers")
    (programs / "mark").touch()

    assert environment_of("nothing", tmp_path / "peers") == programs
    assert (programs / "mark").exists()
    (tmp_path / "nothing.txt").write_text("# another version\n")
    assert environment_of("nothing", tmp_path / "peers") != programs


def test_a_peer_that_may_not_be_installed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerStartError, match="without --quick"):
        environment_of("infinity", tmp_path / "peers", may_install=False)
