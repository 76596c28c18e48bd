from pathlib import Path

import pytest
from pydantic import ValidationError

from models.errors.model_failures import ModelLoadError
from models.source import SourceConfig, resolve_source, revision_of


def weights_folder(path: Path, content: bytes) -> Path:
    path.mkdir()
    (path / "model.safetensors").write_bytes(content)
    return path


def test_an_installed_package_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "carrier_of_weights" / "model").mkdir(parents=True)
    (tmp_path / "carrier_of_weights" / "__init__.py").write_text("raise SystemExit('must not be imported')")
    monkeypatch.syspath_prepend(str(tmp_path))

    source = resolve_source("any", SourceConfig(source=str(tmp_path), package="carrier_of_weights"))

    assert source.location == str(tmp_path / "carrier_of_weights" / "model")
    assert source.is_local


def test_a_local_folder_comes_before_the_hub(tmp_path: Path) -> None:
    source = resolve_source("any", SourceConfig(source=str(tmp_path), package="no_such_package_here"))

    assert (source.location, source.is_local) == (str(tmp_path), True)


def test_what_looks_like_a_hub_id_is_left_to_the_hub() -> None:
    source = resolve_source("any", SourceConfig(source="owner/model-v1.5", revision="abc"))

    assert (source.location, source.revision, source.is_local) == ("owner/model-v1.5", "abc", False)


def test_a_missing_folder_is_an_error_that_says_what_was_tried(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"

    with pytest.raises(ModelLoadError, match=r"no_such_package_here.*not installed.*nothing"):
        resolve_source("any", SourceConfig(source=str(missing), package="no_such_package_here"))


def test_without_a_revision_the_weights_name_the_space(tmp_path: Path) -> None:
    first = resolve_source("any", SourceConfig(source=str(weights_folder(tmp_path / "first", b"1"))))
    same = resolve_source("any", SourceConfig(source=str(weights_folder(tmp_path / "same", b"1"))))
    other = resolve_source("any", SourceConfig(source=str(weights_folder(tmp_path / "other", b"2"))))

    assert revision_of(first) == revision_of(same) != revision_of(other)
    assert len(revision_of(first)) == 12


def test_a_configured_revision_names_the_space(tmp_path: Path) -> None:
    source = resolve_source("any", SourceConfig(source=str(tmp_path), revision="v2"))

    assert revision_of(source) == "v2"


@pytest.mark.parametrize("wrong", [{"source": ""}, {"package": "os.path"}, {"dtype": "int3"}, {"devise": "cpu"}])
def test_a_config_outside_its_bounds_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SourceConfig.model_validate({"source": "owner/model"} | wrong)
