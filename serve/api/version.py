"""The version of the service, as its package says it."""

from importlib.metadata import PackageNotFoundError, version


def service_version() -> str:
    """Empty where the package is not installed, and its files are only on the path."""
    try:
        return version("ragserve")
    except PackageNotFoundError:
        return ""
