"""Files that are uploaded while processes die, and the proof that none of them is lost or stored twice."""

import contextlib
import threading
import time

import openai

PAUSE_S = 0.02
NUM_DOCUMENTS = 20
DOCUMENT = "The pier of granite{number} lies beside tower{number}, and keeper{number} guards it.\n"


def text_of(number: int) -> str:
    return f"Harbour{number} lies beside lighthouse{number}, and ferry{number} calls there.\n"


def upload_documents(client: openai.OpenAI, store: str) -> None:
    """What the questions are about. Without them no question would reach a stage after the searches."""
    for number in range(NUM_DOCUMENTS):
        content = DOCUMENT.format(number=number).encode()
        file = client.files.create(file=(f"tower{number}.md", content), purpose="assistants")
        client.vector_stores.files.create(store, file_id=file.id)


class Uploads:
    """Upload files one after another during the block, and record those that the service acknowledged."""

    def __init__(self, client: openai.OpenAI, store: str, pause_s: float = PAUSE_S) -> None:
        self._client, self._store, self._pause_s = client, store, pause_s
        self._stop = threading.Event()
        self.acknowledged: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Uploads":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            with contextlib.suppress(openai.OpenAIError):
                file = self._client.files.create(file=(f"{number}.md", text_of(number).encode()), purpose="assistants")
                self._client.vector_stores.files.create(self._store, file_id=file.id)
                self.acknowledged[file.id] = number
            number += 1
            self._stop.wait(self._pause_s)


def wait_until_ingested(client: openai.OpenAI, store: str, limit_s: float) -> None:
    """Raises TimeoutError."""
    end = time.monotonic() + limit_s
    while client.vector_stores.retrieve(store).file_counts.in_progress:
        if time.monotonic() > end:
            raise TimeoutError(f"files of {store} are not ingested after {limit_s:g} s")
        time.sleep(0.2)


def files_by_word(client: openai.OpenAI, store: str, word: str) -> list[str]:
    """The file of each hit. A chunk that was stored twice appears twice."""
    body = {"mode": "lexical", "ranking_options": {"ranker": "none", "dedup": False}}
    return [hit.file_id for hit in client.vector_stores.search(store, query=word, extra_body=body).data]


def lost_files(client: openai.OpenAI, store: str, acknowledged: dict[str, int]) -> list[str]:
    """The acknowledged files that are not stored and found exactly once, by id."""
    return [
        file_id
        for file_id, number in acknowledged.items()
        if files_by_word(client, store, f"harbour{number}") != [file_id]
    ]
