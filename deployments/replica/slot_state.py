"""The states of a ModelSlot, each with the data that it alone has.

Loading -> Serving <-> ServingWithCanary
           Serving, ServingWithCanary -> SwappingInTurn -> Serving, or Failed
           Failed -> SwappingInTurn, at the next choice
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from deployments.replica.loaded_model import LoadedModel

M = TypeVar("M")


@dataclass(frozen=True)
class Loading:
    """The first model is not loaded yet. If it does not load, Serve stops the replica."""


@dataclass(frozen=True)
class Serving(Generic[M]):
    """One model answers every request. The next one may load beside it."""

    loaded: LoadedModel[M]


@dataclass(frozen=True)
class ServingWithCanary(Serving[M]):
    """A second model, on trial, answers a share of the requests."""

    canary: LoadedModel[M]


@dataclass(frozen=True)
class SwappingInTurn:
    """No model serves: the old one leaves, and the next one loads into its memory. A request may wait for it."""

    previous_alias: str


@dataclass(frozen=True)
class Failed:
    """No model serves and none is loading. The replica is unhealthy, and Serve replaces it."""

    previous_alias: str


State = Loading | Serving[M] | ServingWithCanary[M] | SwappingInTurn | Failed
