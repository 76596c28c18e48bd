"""Files behind a URL: folders, S3 and whatever else fsspec knows. A wrong URL is one clear ConfigError."""

from typing import Any
from urllib.parse import urlsplit

from models.errors.configuration import ConfigError

SEPARATOR = "://"
# By protocol: the Python package that reads it.
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
EXTRAS = {"s3fs": "s3"}  # the packages that `make up EXTRAS=…` installs


def has_protocol(url: str) -> bool:
    """Whether this is a URL, and not the path of a local file."""
    return SEPARATOR in url


def protocol_of(url: str) -> str:
    """`s3` of `s3://bucket/key`, and `file` of a path."""
    return url.partition(SEPARATOR)[0].lower() if has_protocol(url) else "file"


def check_url(where: str, url: str) -> None:
    """Raise ConfigError for a URL with a user name, a password, a query or line breaks: they end in logs."""
    try:
        parts = urlsplit(url)
        has_secret = parts.username is not None or parts.password is not None
    except ValueError as error:
        raise ConfigError(where, f"{url!r} is not a URL: {error}") from None
    if has_secret:
        raise ConfigError(where, "must not have a user name or a password; the storage's own variables hold them")
    if "::" in url or not url.isprintable():
        raise ConfigError(where, f"{url!r} is not a plain URL such as s3://bucket/folder")


def open_filesystem(where: str, url: str) -> tuple[Any, str]:
    """fsspec's filesystem of the URL, and the path in it. Credentials and endpoints come from the environment.

    Listings are not cached: other processes write too. Raises ConfigError for an unknown protocol, and for one whose
    package is not installed; `where` is its subject.
    """
    from fsspec.core import url_to_fs  # takes 0.1 s

    check_url(where, url)
    # Others hand unknown options to their client.
    options = {"use_listings_cache": False} if protocol_of(url) in PACKAGES else {}
    try:
        filesystem, path = url_to_fs(url, **options)
    except ImportError as error:
        raise ConfigError(where, _missing_package(protocol_of(url), error)) from None
    except (ValueError, TypeError) as error:
        raise ConfigError(where, f"{protocol_of(url)}:// cannot be opened: {error}") from None
    return filesystem, path


def _missing_package(protocol: str, error: ImportError) -> str:
    package = PACKAGES.get(protocol)
    if package is None:
        return f"{protocol}:// needs a package that is not installed: {error}"
    extra = EXTRAS.get(package)
    command = f"make up EXTRAS={extra}" if extra else f".venv/bin/python -m pip install {package}"
    return f"{protocol}:// needs the package {package}; install it with `{command}`"
