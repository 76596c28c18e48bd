"""The users who ask, one class for each API. A user sends a request, reads the response, then pauses."""

import json
import time
from collections.abc import Iterator
from typing import Any

from locust import FastHttpUser, HttpUser, between, task

from loadtests.credentials import authorization
from loadtests.questions import Questions
from loadtests.recorder import recorder
from loadtests.stage_times import stage_times

# The questions repeat, and the load is for the stages: no cache may answer.
HEADERS = {"cache-control": "no-store", **authorization()}
PARAGRAPH = (
    "Maintenance note {number}. Pump {number} of the north station was inspected; its pressure held at {number} bar. "
    "The gasket of valve {number} is to be replaced within the week, before the station goes back to full load.\n\n"
)


class Reader:
    """A user with questions. The start of the test sets `questions` for all users."""

    questions: Questions
    model = "ragserve"
    wait_time = between(0.1, 0.5)


class JsonUser(Reader, FastHttpUser):
    """A user of JSON responses, over Locust's fast client."""

    abstract = True

    def post(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The response's body, counted with the stages it lacks. A failure is counted and gives an empty one."""
        with self.client.post(path, json=body, name=name, headers=HEADERS, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(_problem(response))
                return {}
            answer: dict[str, Any] = response.json()
            response.request_meta["context"]["degraded"] = answer.get("degraded", [])
            return answer


class QueryUser(JsonUser):
    """Calls /v1/query, whose response has the time of each stage."""

    weight = 5

    @task
    def query(self) -> None:
        answer = self.post("query", "/v1/query", {"query": self.questions.next(), "max_tokens": 128})
        for stage, seconds in stage_times(answer.get("timings", {})).items():
            recorder.add_stage(stage, seconds, failed=stage in answer["degraded"])  # its time is not that of its work


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
            "/v1/chat/completions", json=body, name="chat", headers=HEADERS, stream=True, catch_response=True
        ) as response:
            if response.status_code != 200:
                response.failure(_problem(response))
                return
            self._read(response, start)
            # Locust stopped its clock at the headers.
            response.request_meta["response_time"] = (time.perf_counter() - start) * 1e3

    def _read(self, response: Any, start: float) -> None:
        """Read the stream to its end; count what it lacks, and what it says of itself."""
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
            if "degraded" in chunk:
                response.request_meta["context"]["degraded"] = chunk["degraded"]
            has_text = any((choice.get("delta") or {}).get("content") for choice in chunk["choices"])
            if has_text and not ttft_s:
                ttft_s = time.perf_counter() - start
                recorder.add_first_text("chat", ttft_s)
        if not is_complete:
            response.failure("the stream ended without [DONE]")
        elif usage and ttft_s:
            after_first_s = time.perf_counter() - start - ttft_s
            recorder.add_stage("chat, a token", after_first_s / max(1, usage["completion_tokens"]))


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
