"""Questions whose answer a restored corpus must have: passages of its own, asked for by their text."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from sqlalchemy import func, select

from models.corpus.corpus import Corpus
from models.corpus.schema import chunks
from serve.cli.remote import RemoteError
from serve.cli.trust import trust

LEAST_CHARS = 80  # shorter passages are not told from each other
QUESTION_CHARS = 300
TOP_K = 10
TIMEOUT_S = 120.0
PATIENCE_S, PAUSE_S = 600.0, 0.5
NOT_YET = (429, 503, 504)


@dataclass(frozen=True)
class Answered:
    """The passages of an answer, best first: their ids and their texts."""

    chunk_ids: list[str]
    texts: list[str]


@dataclass(frozen=True)
class StoredPassage:
    tenant: str
    vector_store_id: str
    chunk_id: str
    text: str

    def is_in(self, answered: Answered) -> bool:
        """Whether it came back, or another with the same text: of two equal passages a search shows one."""
        return self.chunk_id in answered.chunk_ids or any(self.text in text for text in answered.texts)


def passages_to_ask_for(corpus: Corpus, number: int) -> list[StoredPassage]:
    """So many passages from all over the corpus; fewer if it has no more. Short ones only if all are short."""
    return _passages(corpus, number, LEAST_CHARS) or _passages(corpus, number, 1)


def _passages(corpus: Corpus, number: int, least_chars: int) -> list[StoredPassage]:
    columns = (chunks.c.tenant, chunks.c.vector_store_id, chunks.c.chunk_id, chunks.c.text)
    is_long = func.length(chunks.c.text) >= least_chars
    with corpus.database.reading() as connection:
        num_long = connection.scalar(select(func.count()).select_from(chunks).where(is_long)) or 0
        query = select(*columns).where(is_long).order_by(chunks.c.chunk_key).limit(1)
        places = sorted({(2 * each + 1) * num_long // (2 * number) for each in range(number)}) if num_long else []
        rows = [connection.execute(query.offset(place)).one() for place in places]
    return [StoredPassage(*row) for row in rows]


def ask(url: str, passage: StoredPassage, headers: Mapping[str, str]) -> Answered:
    """The passages of the first answer: a service whose indexes are not loaded yet is asked again, as clients do.

    Raises RemoteError if there is no answer within PATIENCE_S.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        response = _ask(url, passage, headers)
        if response.status_code == httpx.codes.OK:
            passages = response.json()["passages"]
            return Answered([each["chunk_id"] for each in passages], [each["text"] for each in passages])
        if response.status_code not in NOT_YET or time.monotonic() > end:
            raise RemoteError(f"{url} did not answer: {response.status_code} {response.text[:QUESTION_CHARS]}")
        time.sleep(PAUSE_S)


def _ask(url: str, passage: StoredPassage, headers: Mapping[str, str]) -> httpx.Response:
    body = {
        "query": passage.text[:QUESTION_CHARS],
        "vector_store_ids": [passage.vector_store_id],
        "top_k": TOP_K,
        "query_understanding": {"decomposition": False},
    }
    try:
        return httpx.post(
            f"{url}/v1/query",
            json=body,
            headers=dict(headers),
            timeout=TIMEOUT_S,
            trust_env=False,
            verify=trust(url),
        )
    except httpx.HTTPError as error:
        raise RemoteError(f"{url} cannot be reached: {error}") from error
