"""Answers of a running service, by OpenAI's chat over a vector store of the set."""

from collections.abc import Sequence
from typing import Any

from models.types.generation import ChatMessage
from serve.cli.driver.evaluated_service import Corpus, EvaluatedService
from serve.cli.eval.answers.outcome import Cite, Outcome

TURNS = ("user", "assistant")
MAX_JUDGE_TOKENS = 8


class HttpAnswerer:
    """One set's store in a running service."""

    def __init__(self, service: EvaluatedService, store_id: str, corpus: Corpus) -> None:
        self._service, self._store_id, self._corpus = service, store_id, corpus

    def answer(self, messages: Sequence[ChatMessage]) -> Outcome:
        """As Answerer. Raises RemoteError."""
        turns = [{"role": each.role, "content": each.content} for each in messages if each.role in TURNS]
        body = {"messages": turns, "vector_store_ids": [self._store_id], "max_completion_tokens": 512}
        return self._outcome(self._service.chat(body))

    def _outcome(self, reply: dict[str, Any]) -> Outcome:
        names = self._corpus.filenames
        cites = tuple(
            Cite(each["id"], names.get(each["filename"], each["filename"]), each["quote"])
            for each in reply["citations"]
        )
        return Outcome(reply["choices"][0]["message"]["content"] or "", cites, not reply["answerable"])


def reply_of(service: EvaluatedService, alias: str, prompt: str) -> str:
    """The reply of a language model that the service serves, without documents. Raises RemoteError."""
    body: dict[str, Any] = {"model": alias, "messages": [{"role": "user", "content": prompt}]}
    body |= {"max_tokens": MAX_JUDGE_TOKENS, "temperature": 0}
    return str(service.chat(body)["choices"][0]["message"]["content"] or "")
