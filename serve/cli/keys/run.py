"""Changes API keys in the database of a service, whether it runs or not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from deployments.replica.storage import StorageConfig
from models.corpus.api_keys import ApiKey, ApiKeys, Role
from models.corpus.database import open_database
from models.errors.configuration import ConfigError
from models.errors.requests import InvalidRequestError
from serve.access.keys import TENANT
from serve.access.limits import OF_TENANTS, CallerLimits
from serve.cli.options import console
from serve.config_file import read_settings

Place = tuple[Path, Path | None]  # the deployment file, and the data folder that overrides its own


@dataclass(frozen=True)
class Rights:
    """What a new key may do. `stores` None: all."""

    role: Role
    stores: tuple[str, ...] | None
    limits: dict[str, int]


def limits_of(named: dict[str, int | None], texts: list[str]) -> dict[str, int]:
    """The limits of a key: those that are named, and those of texts such as `uploads_per_day=100`.

    Raises InvalidRequestError.
    """
    limits = {name: value for name, value in named.items() if value is not None}
    for name, value in limits.items():
        _check_limit(name, value, f"{name} {value}")
    for text in texts:
        name, _, number = text.partition("=")
        if name not in CallerLimits.model_fields or name in OF_TENANTS:
            names = ", ".join(sorted(CallerLimits.model_fields.keys() - OF_TENANTS))
            raise InvalidRequestError(f"a key has no limit {name!r}; it has {names}", "limit")
        limits[name] = _check_limit(name, number, f"{text!r} is not NAME=NUMBER")
    return limits


def _check_limit(name: str, number: int | str, problem: str) -> int:
    """Raises InvalidRequestError for what is no number, or beyond the bounds of the limit."""
    try:
        value = int(number)
        CallerLimits.model_validate({name: value})
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "it is no number"
        raise InvalidRequestError(f"{problem}: {reason}", name) from None
    return value


def create_key(place: Place, tenant: str, name: str, rights: Rights, lifetime_s: int | None) -> None:
    """Raises InvalidRequestError, ConfigError."""
    if not all(map(str.strip, rights.stores or ())):
        raise InvalidRequestError("a vector store has an id; leave --store out for all of them", "store")
    if not TENANT.fullmatch(tenant):
        raise InvalidRequestError("a tenant has 1 to 64 letters, digits, '.', '_' or '-'", "tenant")
    expires_at = None if lifetime_s is None else int(time.time()) + lifetime_s
    storage = _storage_of(place)
    is_new = storage.lacks_its_file
    with _opened(place, is_new) as keys:
        key, secret = keys.create(tenant, name, rights.role, rights.stores, expires_at, rights.limits)
    _print_new(key, secret)
    if is_new:
        console.print(f"the database is new: {storage.data_dir.resolve()} had none", markup=False)


def print_keys(place: Place, tenant: str | None) -> None:
    with _opened(place) as keys:
        for key in keys.list(tenant):
            stores = "all stores" if key.vector_store_ids is None else ",".join(key.vector_store_ids)
            fields = (key.key_id, key.tenant, key.role, stores, _state(key), key.name)
            console.print("  ".join(fields), markup=False)


def rotate_key(place: Place, key_id: str, overlap_s: int) -> None:
    """Raises NotFoundError."""
    with _opened(place) as keys:
        key, secret = keys.rotate(key_id, overlap_s)
    _print_new(key, secret)
    console.print(f"{key_id} expires in {overlap_s / 3600:g} hours, or earlier if it would anyway", markup=False)


def revoke_key(place: Place, key_id: str) -> None:
    """Raises NotFoundError."""
    with _opened(place) as keys:
        keys.revoke(key_id)
    console.print(f"{key_id} is revoked", markup=False)


def _storage_of(place: Place) -> StorageConfig:
    config, data = place
    storage = read_settings(config).storage
    return storage if data is None else storage.model_copy(update={"data_dir": data})


@contextmanager
def _opened(place: Place, is_new: bool = False) -> Iterator[ApiKeys]:
    """Raises ConfigError for a file that is missing, unless it is to be new: a mistyped folder would have no keys."""
    storage = _storage_of(place)
    if storage.lacks_its_file and not is_new:
        raise ConfigError(str(storage.data_dir), "holds no database; pass the service's data folder with --data")
    database = open_database(storage.url, storage.database)
    try:
        yield ApiKeys(database, time.time)
    finally:
        database.close()


def _print_new(key: ApiKey, secret: str) -> None:
    console.print(f"{key.key_id}: {key.role} of {key.tenant}, {_state(key)}", markup=False)
    console.print(secret, markup=False, style="bold")
    console.print("it is shown once; set api.access to keys in the deployment file if it is not yet", markup=False)


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "valid"
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(key.expires_at))
    return f"{'valid until' if key.is_valid(time.time()) else 'expired'} {day}"
