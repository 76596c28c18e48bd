"""The users of the load test, one class for each API. A user sends a request, reads the response, then pauses."""

import json
import time
from collections.abc import Iterator
from typing import Any

from locust import FastHttpUser, HttpUser, between, constant_pacing, events, task

from loadtests.questions import Questions
from loadtests.recorder import FIRST_TEXT, STAGE

STORE_NAME = "loadtest"
NO_CACHES = {"cache-control": "no-store"}  # the questions repeat, and the load is for the stages
PARAGRAPH = (
    "Maintenance note {number}. Pump {number} of the north station was inspected; its pressure held at {number} bar. "
    "The gasket of valve {number} is to be replaced within the week, before the station goes back to full load.\n\n"
)


def fire(kind: str, name: str, seconds: float) -> None:
    """Report a measurement to Locust's statistics and to our recorder."""
    events.request.fire(
        request_type=kind, name=name, response_time=seconds * 1e3, response_length=0, exception=None, context={}
    )


class Reader:
    """A user with questions. The start of the test sets `questions` for all users."""

    questions: Questions
    model = "ragserve"
    wait_time = between(0.1, 0.5)


class JsonUser(Reader, FastHttpUser):
    """A user of JSON responses, over Locust's fast client."""

    abstract = True

    def post(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The response's body. A failure is counted and gives None."""
        with self.client.post(path, json=body, name=name, headers=NO_CACHES, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(_problem(response))
                return None
            return response.json()


class QueryUser(JsonUser):
    """Calls /v1/query, whose response has the time of each stage."""

    weight = 5

    @task
    def query(self) -> None:
        body = self.post("query", "/v1/query", {"query": self.questions.next(), "max_tokens": 128})
        for stage, seconds in (body or {}).get("timings", {}).items():
            fire(STAGE, stage, seconds)


class SearchUser(JsonUser):
    weight = 3

    @task
    def search(self) -> None:
        self.post("search", "/v1/vector_stores/default/search", {"query": self.questions.next(), "max_num_results": 10})


class EmbeddingUser(JsonUser):
    weight = 2

    @task
    def embed(self) -> None:
        texts = [self.questions.next() for _ in range(4)]
        self.post("embeddings", "/v1/embeddings", {"model": self.model, "input": texts, "encoding_format": "base64"})


class RerankUser(JsonUser):
    weight = 1

    @task
    def rerank(self) -> None:
        documents = [PARAGRAPH.format(number=number) for number in range(20)]
        body = {"model": self.model, "query": self.questions.next(), "documents": documents, "top_n": 5}
        self.post("rerank", "/v1/rerank", body)


class ChatUser(Reader, HttpUser):
    """Streams an answer in OpenAI's shape and measures the time to its first text."""

    weight = 2

    @task
    def chat(self) -> None:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.questions.next()}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens": 128,
        }
        start = time.perf_counter()
        with self.client.post(
            "/v1/chat/completions", json=body, name="chat", headers=NO_CACHES, stream=True, catch_response=True
        ) as response:
            if response.status_code != 200:
                response.failure(_problem(response))
                return
            self._read(response, start)

    def _read(self, response: Any, start: float) -> None:
        ttft_s, usage, is_complete = 0.0, None, False
        for line in _sse_lines(response.iter_lines()):
            if line == "[DONE]":
                is_complete = True
                break
            chunk = json.loads(line)
            if "error" in chunk:
                response.failure(f"error in the stream: {chunk['error'].get('code')}")
                return
            usage = chunk.get("usage") or usage
            has_text = any((choice.get("delta") or {}).get("content") for choice in chunk["choices"])
            if has_text and not ttft_s:
                ttft_s = time.perf_counter() - start
                fire(FIRST_TEXT, "chat", ttft_s)
        if not is_complete:
            response.failure("the stream ended without [DONE]")
        elif usage and ttft_s:
            fire(STAGE, "chat, a token", (time.perf_counter() - start - ttft_s) / max(1, usage["completion_tokens"]))


class IngestUser(HttpUser):
    """A background user: uploads a file every few seconds, waits until it can be searched, and deletes it."""

    fixed_count = 1
    wait_time = constant_pacing(2)
    timeout_s = 60.0

    def on_start(self) -> None:
        self._number = 0
        self._store = self.client.post("/v1/vector_stores", json={"name": STORE_NAME}, name="setup").json()["id"]

    def on_stop(self) -> None:
        self.client.delete(f"/v1/vector_stores/{self._store}", name="setup")

    @task
    def ingest(self) -> None:
        self._number += 1
        text = "".join(PARAGRAPH.format(number=self._number * 10 + paragraph) for paragraph in range(10))
        start = time.perf_counter()
        file = self.client.post(
            "/v1/files",
            data={"purpose": "assistants"},
            files={"file": (f"note-{self._number}.txt", text.encode())},
            name="setup",
        ).json()
        path = f"/v1/vector_stores/{self._store}/files"
        self.client.post(path, json={"file_id": file["id"]}, name="setup")
        problem = self._wait(f"{path}/{file['id']}", start)
        events.request.fire(
            request_type="POST",
            name="ingest",
            response_time=(time.perf_counter() - start) * 1e3,
            response_length=len(text),
            exception=RuntimeError(problem) if problem else None,
            context={},
        )
        self.client.delete(f"/v1/files/{file['id']}", name="setup")

    def _wait(self, path: str, start: float) -> str:
        """Wait until the file can be searched. Returns the problem, or an empty text."""
        while time.perf_counter() - start < self.timeout_s:
            status = self.client.get(path, name="setup").json()["status"]
            if status != "in_progress":
                return "" if status == "completed" else status
            time.sleep(0.2)  # Locust patches sleep, so other users go on
        return f"not ingested within {self.timeout_s:g} s"


def _sse_lines(lines: Iterator[bytes | str]) -> Iterator[str]:
    for line in lines:
        text = line.decode() if isinstance(line, bytes) else line
        if text.startswith("data: "):
            yield text[len("data: ") :].strip()


def _problem(response: Any) -> str:
    """Status and error code, so that equal failures are counted together."""
    try:
        return f"{response.status_code} {response.json()['error']['code']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code}"
