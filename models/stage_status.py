"""The status that a replica reports: its model, and what depends on it."""

from dataclasses import dataclass

from models.breaker import State


@dataclass(frozen=True)
class TokenScoring:
    """A reranker that scores stored token vectors: its model, its weight of retrieval's rank, and the generations
    whose token vectors it would make.
    """

    model: str
    retrieval_weight: float
    generations: tuple[str, ...]


@dataclass(frozen=True)
class StageStatus:
    """The status of a replica that can answer. `model` is empty for a stage without a model.

    `num_unfinished` counts the running requests of the stage's engine, if it has one. `generation` names the vector
    space of an embedding model. `loading` is the next model, `error` says why the last requested model did not load.
    `canary` is a model on trial, which gets the fraction `canary_share` of the requests. `options` has the settings
    besides the model that affect results: equal requests may get other results when it differs. `runs_on` has the
    engine, dtype, processor and threads of the model. `token_scoring` is of a reranker that scores stored token
    vectors, None while a canary gets some of the queries. `models` has each model of a list and its state: ready,
    not_loaded, or open if its breaker lets no request through. `fallbacks` has each model that answers while the stage
    does not, and its state: ready, not_loaded, unchecked, or the code of an error. `oldest_s` is the age of a parser's
    oldest request, None of other stages. `dependencies` has the state of the breaker of each server that the replica
    calls.
    """

    model: str = ""
    num_unfinished: int = 0
    generation: str = ""
    loading: str = ""
    error: str = ""
    canary: str = ""
    canary_share: float = 0.0
    options: str = ""
    runs_on: str = ""
    token_scoring: TokenScoring | None = None
    oldest_s: float | None = None
    models: tuple[tuple[str, str], ...] = ()
    fallbacks: tuple[tuple[str, str], ...] = ()
    dependencies: tuple[tuple[str, State], ...] = ()
