"""The service under test: its requests, and real objects for the ids that a request needs."""

import json
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import httpx

from models.errors.configuration import ConfigError

TEXT = "# Ovens\n\nThe oven heats to 250 degrees.\n"
QUESTION = "How hot does the oven get?"
CONTEXT = f"Context: The oven heats to 250 degrees.\nQuestion: {QUESTION}\nAnswer:"
FILE_EXPIRY = {"anchor": "created_at", "seconds": 86_400}
STORE_EXPIRY = {"anchor": "last_active_at", "days": 1}
WAIT_S = 120


class Subject:
    """Makes an object of each kind when it is first needed. Raises ConfigError if the service cannot make one."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self._ids: dict[str, str] = {}
        self._makers: dict[str, Callable[[], str]] = {
            "file_id": self._file,
            "vector_store_id": self._store,
            "batch_id": self._batch,
            "response_id": lambda: self._created("/responses", {"input": QUESTION, **self.search}),
            "background_id": lambda: self._created("/responses", {"input": QUESTION, "background": True}),
            "conversation_id": self._conversation,
            "item_id": self._item,
            "model": lambda: "ragserve",
            "completion_id": self._completion,
        }

    @property
    def search(self) -> dict[str, Any]:
        """The tools of a request that searches a store with a file."""
        return {"tools": [{"type": "file_search", "vector_store_ids": [self.id_of("vector_store_id")]}]}

    @cached_property
    def language_model(self) -> str:
        """The name of the model that answers without documents."""
        models = self.send("get", "/models").json()["data"]
        return next((str(each["id"]) for each in models if each.get("stage") == "generate"), "ragserve")

    @cached_property
    def dimensions(self) -> int:
        """The length of an embedding."""
        body = {"model": "ragserve", "input": QUESTION}
        return len(self.send("post", "/embeddings", json=body).json()["data"][0]["embedding"])

    def id_of(self, name: str) -> str:
        if name not in self._ids:
            self._ids[name] = self._makers[name]()
        return self._ids[name]

    def forget(self, *names: str) -> None:
        """The next request gets new objects: these have been deleted."""
        for name in names:
            self._ids.pop(name, None)

    def path(self, template: str, ids: dict[str, str] | None = None) -> str:
        """The path with an id for each placeholder."""
        names = [piece[1:-1] for piece in template.split("/") if piece.startswith("{")]
        values = {name: (ids or {}).get(name) or self.id_of(name) for name in names}
        return template.format(**values)

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self.http.request(method.upper(), path, **request)

    def events(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The events of a stream, without the last `[DONE]`."""
        response = self.send("post", path, json=body)
        lines = [line.removeprefix("data:").strip() for line in response.text.splitlines() if line.startswith("data:")]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    def _created(self, path: str, body: dict[str, Any]) -> str:
        response = self.send("post", path, json=body)
        if response.status_code != 200:
            raise ConfigError(f"POST {path}", f"{response.status_code}: {response.text[:300]}")
        created: str = response.json()["id"]
        return created

    def _file(self) -> str:
        files = {"file": ("ovens.md", TEXT.encode())}
        expiry = {f"expires_after[{name}]": value for name, value in FILE_EXPIRY.items()}
        response = self.send("post", "/files", files=files, data={"purpose": "assistants", **expiry})
        created: str = response.json()["id"]
        return created

    def _store(self) -> str:
        store = self._created("/vector_stores", {"name": "conformance", "expires_after": STORE_EXPIRY})
        self._created(f"/vector_stores/{store}/files", {"file_id": self.id_of("file_id"), "attributes": {"year": 2026}})
        end = time.monotonic() + WAIT_S
        while self.send("get", f"/vector_stores/{store}").json()["status"] != "completed":
            if time.monotonic() > end:
                raise ConfigError("conformance", f"a file was not ingested within {WAIT_S} s")
            time.sleep(0.1)
        return store

    def _batch(self) -> str:
        path = f"/vector_stores/{self.id_of('vector_store_id')}/file_batches"
        return self._created(path, {"file_ids": [self.id_of("file_id")]})

    def _conversation(self) -> str:
        items = [{"type": "message", "role": "user", "content": QUESTION}]
        conversation = self._created("/conversations", {"items": items})
        self._created("/responses", {"input": QUESTION, "conversation": conversation, **self.search})
        return conversation

    def _item(self) -> str:
        items = self.send("get", f"/conversations/{self.id_of('conversation_id')}/items").json()["data"]
        newest: str = items[0]["id"]
        return newest

    def _completion(self) -> str:
        body = {"model": "ragserve", "messages": [{"role": "user", "content": QUESTION}], "store": True}
        return self._created("/chat/completions", body)
