"""The user who adds files while the others ask."""

import sys
import time
from typing import Any

import requests
from gevent import GreenletExit
from locust import User, constant_pacing, events, task

from loadtests.credentials import authorization
from loadtests.recorder import recorder
from loadtests.users import PARAGRAPH

STORE_NAME = "loadtest"
NUM_PARAGRAPHS = 10
CALL_S = 30.0  # of one HTTP call
POLL_PAUSE_S = 0.2


class IngestUser(User):
    """Uploads a file every few seconds, waits until it can be searched, and deletes it.

    `ingest` is the time from the upload until a search finds the file. Its single calls are recorded as set-up, over a
    client of its own, so that they are in none of Locust's figures.
    """

    fixed_count = 1
    wait_time = constant_pacing(2)
    timeout_s = 60.0

    def on_start(self) -> None:
        self._session, self._store, self._number = requests.Session(), "", 0
        self._session.headers.update(authorization())

    def on_stop(self) -> None:
        if self._store:
            self._call("delete a vector store", "DELETE", f"/v1/vector_stores/{self._store}")

    @task
    def ingest(self) -> None:
        self._store = self._store or self._created_store()
        start, error = time.perf_counter(), None
        file_id = ""
        try:
            file_id = self._upload()
            self._wait_until_searchable(file_id, start)
        except (requests.RequestException, ValueError, KeyError, TimeoutError) as problem:
            error = problem
        elapsed_ms = (time.perf_counter() - start) * 1e3
        events.request.fire(
            request_type="POST", name="ingest", response_time=elapsed_ms, response_length=0, exception=error, context={}
        )
        if file_id:
            self._call("delete a file", "DELETE", f"/v1/files/{file_id}")

    def _created_store(self) -> str:
        """The id of a new vector store. A failure ends this round; the next one tries again."""
        created: str = self._call("create a vector store", "POST", "/v1/vector_stores", json={"name": STORE_NAME})["id"]
        return created

    def _upload(self) -> str:
        self._number += 1
        numbers = range(self._number * NUM_PARAGRAPHS, (self._number + 1) * NUM_PARAGRAPHS)
        text = "".join(PARAGRAPH.format(number=number) for number in numbers)
        files = {"file": (f"note-{self._number}.txt", text.encode())}
        file_id: str = self._call("upload", "POST", "/v1/files", data={"purpose": "assistants"}, files=files)["id"]
        self._call("attach", "POST", f"/v1/vector_stores/{self._store}/files", json={"file_id": file_id})
        return file_id

    def _wait_until_searchable(self, file_id: str, start: float) -> None:
        """Raises TimeoutError, or ValueError with the status of a file that was not completed."""
        while time.perf_counter() - start < self.timeout_s:
            status = self._call("poll", "GET", f"/v1/vector_stores/{self._store}/files/{file_id}")["status"]
            if status == "completed":
                return
            if status != "in_progress":
                raise ValueError(f"the file is {status}")
            time.sleep(POLL_PAUSE_S)  # Locust patches sleep, so other users go on
        raise TimeoutError(f"not ingested within {self.timeout_s:g} s")

    def _call(self, name: str, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """The response's body. Raises requests.RequestException for an error status and when no response comes."""
        start, is_failed = time.perf_counter(), True
        try:
            response = self._session.request(method, f"{self.host}{path}", timeout=CALL_S, **arguments)
            is_failed = not response.ok
        finally:
            # The end of the run interrupts a call, which has then not failed.
            if not isinstance(sys.exception(), GreenletExit):
                recorder.add_setup(name, time.perf_counter() - start, is_failed)
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body
