"""Whether a model's weights can be had, without loading them: on this machine, or from the model hub."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from models.errors.model_failures import ModelLoadError
from models.source import HUB_ID, SourceConfig, resolve_source
from models.vllm.packaged import gguf_file

HUB_TIMEOUT_S = 5.0


def check_weights(name: str, config: BaseModel) -> None:
    """Raises ModelLoadError unless the weights are on this machine, or the hub says that it has them.

    A model without weights of its own, such as a remote one, passes. The hub is asked once, for at most HUB_TIMEOUT_S.
    """
    if isinstance(config, SourceConfig):
        is_local = resolve_source(name, config).is_local
    else:
        is_local = _is_local_language_model(name, config)
    source: str | None = getattr(config, "source", None)
    if source is not None and not is_local:
        _check_hub(name, source, getattr(config, "revision", None))


def _is_local_language_model(name: str, config: Any) -> bool:
    source, package = getattr(config, "source", None), getattr(config, "package", None)
    if source is None or (package is not None and gguf_file(package) is not None):
        return True
    if not HUB_ID.fullmatch(source) and not Path(source).expanduser().is_dir():
        raise ModelLoadError(name, f"the folder {source} is missing, and it is no hub id such as owner/model")
    return Path(source).expanduser().is_dir()


def cached_snapshot(hub_id: str, revision: str | None) -> Path | None:
    """The model's folder in the hub's cache on this machine."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def _check_hub(name: str, hub_id: str, revision: str | None) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if cached_snapshot(hub_id, revision) is not None:
        return
    try:
        HfApi().model_info(hub_id, revision=revision, timeout=HUB_TIMEOUT_S)
    except (HFValidationError, HfHubHTTPError) as error:
        raise ModelLoadError(name, f"its weights are not on this machine; the model hub says: {_line(error)}") from None
    except Exception as error:  # noqa: BLE001, these errors are of the HTTP library that the hub's client uses
        problem = f"the weights of {hub_id} are not on this machine, and the model hub cannot be reached"
        raise ModelLoadError(name, f"{problem}: {_line(error)}") from None


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
