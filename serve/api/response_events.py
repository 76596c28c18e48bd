"""The events of a streamed response, in OpenAI's order, numbered from 0."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from models.corpus.conversations import Item
from models.corpus.ids import random_id
from serve.api.response_items import shown_item
from serve.api.response_object import Body, Ended, shown_response

Events = Iterator[Body]


@dataclass
class OpenItem:
    """An item that is being written, at its place in the output."""

    item_id: str
    index: int


@dataclass
class ResponseEvents:
    """Writes the events, and gathers the items that they complete. `delta_sizes`: of the text, in characters."""

    with_results: bool
    output: list[Item] = field(default_factory=list)
    message: OpenItem | None = None
    delta_sizes: list[int] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def opening(self, body: Body) -> Events:
        response = shown_response(body, (), False)
        yield self._event("response.created", response=response)
        yield self._event("response.in_progress", response=response)

    def search(self, item: Item) -> Events:
        """A search that has been made."""
        place = {"item_id": item["id"], "output_index": len(self.output)}
        begun = item | {"status": "in_progress", "queries": [], "results": None}
        yield self._event("response.output_item.added", output_index=len(self.output), item=begun)
        for state in ("in_progress", "searching", "completed"):
            yield self._event(f"response.file_search_call.{state}", **place)
        yield self._done(item)

    def text(self, delta: str, item_id: str = "") -> Events:
        """A piece of the message, which has the id `item_id`, or gets one."""
        if self.message is None:
            yield from self._open_message(item_id)
        self.delta_sizes.append(len(delta))
        yield self._event("response.output_text.delta", **self._place(), delta=delta, logprobs=[])

    def message_end(self, item: Item) -> Events:
        """The whole message; its id is that of the open one (`message_id`)."""
        if self.message is None:
            yield from self._open_message(item["id"])
        (content,) = item["content"]
        for number, annotation in enumerate(content["annotations"]):
            kind = "response.output_text.annotation.added"
            yield self._event(kind, **self._place(), annotation_index=number, annotation=annotation)
        yield self._event("response.output_text.done", **self._place(), text=content["text"], logprobs=[])
        yield self._event("response.content_part.done", **self._place(), part=content)
        yield self._done(item)
        self.message = None

    def call(self, item: Item) -> Events:
        """A whole call of a function."""
        place = {"item_id": item["id"], "output_index": len(self.output)}
        begun = item | {"status": "in_progress", "arguments": ""}
        yield self._event("response.output_item.added", output_index=len(self.output), item=begun)
        yield self._event("response.function_call_arguments.delta", **place, delta=item["arguments"])
        named = {"name": item["name"], "arguments": item["arguments"]}
        yield self._event("response.function_call_arguments.done", **place, **named)
        yield self._done(item)

    def ending(self, ended: Ended) -> Events:
        """The last event, with the whole response."""
        response = shown_response(ended.body, ended.output, self.with_results)
        yield self._event(f"response.{ended.status}", response=response)

    def item(self, item: Item, delta_sizes: Sequence[int] = ()) -> Events:
        """A whole item, as its stream had it: the text in pieces of these sizes."""
        match item["type"]:
            case "file_search_call":
                yield from self.search(item)
            case "function_call":
                yield from self.call(item)
            case "message":
                for delta in _cut(item["content"][0]["text"], delta_sizes):
                    yield from self.text(delta, item["id"])
                yield from self.message_end(item)

    @property
    def message_id(self) -> str:
        return self.message.item_id if self.message else random_id("msg_")

    def _open_message(self, item_id: str = "") -> Events:
        self.message = OpenItem(item_id or random_id("msg_"), len(self.output))
        item = {"id": self.message.item_id, "type": "message", "status": "in_progress", "role": "assistant"}
        yield self._event("response.output_item.added", output_index=self.message.index, item=item | {"content": []})
        content = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        yield self._event("response.content_part.added", **self._place(), part=content)

    def _place(self) -> dict[str, Any]:
        assert self.message is not None
        return {"item_id": self.message.item_id, "output_index": self.message.index, "content_index": 0}

    def _done(self, item: Item) -> Body:
        index = len(self.output)
        self.output.append(item)
        shown = shown_item(item, self.with_results)
        return self._event("response.output_item.done", output_index=index, item=shown)

    def _event(self, kind: str, **fields: Any) -> Body:
        return {"type": kind, "sequence_number": next(self._numbers), **fields}


def _cut(text: str, sizes: Sequence[int]) -> Iterator[str]:
    start = 0
    for size in sizes:
        yield text[start : start + size]
        start += size
    if start < len(text):
        yield text[start:]
