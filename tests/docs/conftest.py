"""A service that the documentation's own commands and programs ask."""

import pytest

from tests.conftest import Service
from tests.docs.documented_service import run_bash


@pytest.fixture(scope="session")
def documented(service: Service) -> Service:
    """The service with the documentation in it, as `make up` leaves it."""
    run_bash(service, "ragserve ingest README.md docs")
    return service
