"""OpenAI's items: as requests carry them, as they are stored, and as messages for a model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, field_validator
from pydantic_core import PydanticCustomError

from models.corpus.conversations import Item
from models.corpus.ids import random_id
from models.errors.requests import InvalidRequestError
from models.functions import ToolCall
from models.generation.function_calls import TOOL, to_chat
from models.types.generation import ChatMessage
from serve.api.chat_request import MAX_MESSAGES
from serve.api.compaction import COMPACTION, unpacked

MAX_ITEMS = MAX_MESSAGES
MAX_PACKED_CHARS = 2_000_000
ID = r"^[\x21-\x7e]{1,128}$"
TEXT_PARTS = ("input_text", "output_text", "text")
Role = Literal["user", "assistant", "system", "developer"]


class Lenient(BaseModel):
    """Items come back from clients with what other services added to them. It has no effect."""

    model_config = ConfigDict(frozen=True)


class TextPart(Lenient):
    """Text of a message."""

    type: Literal["input_text", "output_text", "text"]
    text: str


class RefusalPart(Lenient):
    """A refusal that a language model wrote. Accepted and left out."""

    type: Literal["refusal"]
    refusal: str


class MediaPart(Lenient):
    """A part that no model here reads."""

    type: str

    @field_validator("type")
    @classmethod
    def _refuse(cls, kind: str) -> str:
        raise PydanticCustomError(
            "media", "{kind} is not read; send text, or upload the file to a vector store", {"kind": kind[:64]}
        )


def _part_kind(value: Any) -> str:
    kind = _type_of(value)
    return "text" if kind in TEXT_PARTS else "refusal" if kind == "refusal" else "media"


Part = Annotated[
    Annotated[TextPart, Tag("text")] | Annotated[RefusalPart, Tag("refusal")] | Annotated[MediaPart, Tag("media")],
    Discriminator(_part_kind),
]
Content = str | tuple[Part, ...]


class MessageItem(Lenient):
    """A message of the conversation."""

    type: Literal["message"] = "message"
    role: Role
    content: Content
    id: Annotated[str, StringConstraints(pattern=ID)] | None = None

    def to_item(self) -> Item:
        """OpenAI's object, as it is stored."""
        kind = "output_text" if self.role == "assistant" else "input_text"
        parts = (TextPart(type="text", text=self.content),) if isinstance(self.content, str) else self.content
        extra: Item = {"annotations": [], "logprobs": []} if self.role == "assistant" else {}
        content = [
            {"type": kind, "text": block.text, **extra} if isinstance(block, TextPart) else block.model_dump()
            for block in parts
        ]
        item_id = self.id or random_id("msg_")
        return {"id": item_id, "type": "message", "status": "completed", "role": self.role, "content": content}


class FunctionCallItem(Lenient):
    """A call of a function that a language model made."""

    type: Literal["function_call"]
    call_id: str = Field(min_length=1, max_length=128)
    name: str
    arguments: str
    id: Annotated[str, StringConstraints(pattern=ID)] | None = None

    def to_item(self) -> Item:
        return {**self.model_dump(), "id": self.id or random_id("fc_"), "status": "completed"}


class FunctionOutputItem(Lenient):
    """What a function returned."""

    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1, max_length=128)
    output: Content
    id: Annotated[str, StringConstraints(pattern=ID)] | None = None

    def to_item(self) -> Item:
        return {**self.model_dump(), "id": self.id or random_id("fco_"), "status": "completed"}


class FileSearchItem(Lenient):
    """An earlier search of files. It is kept, and no model reads it."""

    type: Literal["file_search_call"]
    id: Annotated[str, StringConstraints(pattern=ID)] | None = None
    queries: tuple[str, ...] = ()
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"] = "completed"
    results: tuple[dict[str, Any], ...] | None = None

    def to_item(self) -> Item:
        return {**self.model_dump(), "id": self.id or random_id("fs_")}


class ReasoningItem(Lenient):
    """What a language model thought. It is kept, and no model reads it."""

    type: Literal["reasoning"]
    id: Annotated[str, StringConstraints(pattern=ID)] | None = None
    summary: tuple[dict[str, Any], ...] = ()

    def to_item(self) -> Item:
        return {**self.model_dump(), "id": self.id or random_id("rs_")}


class CompactionItem(Lenient):
    """A conversation that /v1/responses/compact made short. A model reads its messages."""

    type: Literal["compaction"]
    encrypted_content: str = Field(min_length=1, max_length=MAX_PACKED_CHARS)
    id: Annotated[str, StringConstraints(pattern=ID)] | None = None

    @field_validator("encrypted_content")
    @classmethod
    def _can_be_read(cls, content: str) -> str:
        try:
            unpacked(content)
        except InvalidRequestError as error:
            raise PydanticCustomError("compaction", "{problem}", {"problem": error.message}) from None
        return content

    def to_item(self) -> Item:
        return {**self.model_dump(), "id": self.id or random_id("cmp_")}


class ItemReference(Lenient):
    """A stored item of a response or a conversation, by its id."""

    type: Literal["item_reference"] | None = None
    id: Annotated[str, StringConstraints(pattern=ID)]


class UnknownItem(Lenient):
    """An item that this service does not have."""

    type: str

    @field_validator("type")
    @classmethod
    def _refuse(cls, kind: str) -> str:
        raise PydanticCustomError(
            "item",
            "{kind} is not an item of this service; it has {kinds}",
            {"kind": kind[:64], "kinds": ", ".join(KINDS)},
        )


ID_PREFIXES = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "file_search_call": "fs_",
    "reasoning": "rs_",
    COMPACTION: "cmp_",
}
KINDS = (
    "message",
    "function_call",
    "function_call_output",
    "file_search_call",
    "reasoning",
    COMPACTION,
    "item_reference",
)


def _type_of(value: Any) -> Any:
    return value.get("type") if isinstance(value, dict) else getattr(value, "type", None)


def _item_kind(value: Any) -> str:
    kind = _type_of(value)
    if kind is None and isinstance(value, dict):
        return "message" if "role" in value or "content" in value else "item_reference"
    return kind if kind in KINDS else "unknown"


NewItem = MessageItem | FunctionCallItem | FunctionOutputItem | FileSearchItem | ReasoningItem | CompactionItem
InputItem = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")]
    | Annotated[FileSearchItem, Tag("file_search_call")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[CompactionItem, Tag(COMPACTION)]
    | Annotated[ItemReference, Tag("item_reference")]
    | Annotated[UnknownItem, Tag("unknown")],
    Discriminator(_item_kind),
]


def to_items(
    inputs: str | Sequence[NewItem | ItemReference | UnknownItem], stored: Mapping[str, Item], param: str = "input"
) -> list[Item]:
    """The items of a request's field `param`. `stored` has those that it refers to.

    Raises InvalidRequestError for an unknown reference.
    """
    if isinstance(inputs, str):
        return [MessageItem(role="user", content=inputs).to_item()]
    return [_to_item(each, f"{param}.{place}.id", stored) for place, each in enumerate(inputs)]


def referenced_ids(inputs: str | Sequence[NewItem | ItemReference | UnknownItem]) -> list[str]:
    return [] if isinstance(inputs, str) else [each.id for each in inputs if isinstance(each, ItemReference)]


def _to_item(each: NewItem | ItemReference | UnknownItem, param: str, stored: Mapping[str, Item]) -> Item:
    if isinstance(each, ItemReference):
        if each.id not in stored:
            message = f"no item with id {each.id!r}; send the item itself"
            raise InvalidRequestError(message, param)
        return stored[each.id]
    assert not isinstance(each, UnknownItem)
    return each.to_item()


def text_of(item: Item) -> str:
    """The text of a message."""
    return "\n".join(block["text"] for block in item["content"] if block["type"] in TEXT_PARTS)


def check_texts(items: Sequence[Item], instructions: str | None, max_chars: int, param: str = "input") -> None:
    """Raises InvalidRequestError for texts that are too long together."""
    packed = (unpacked(item["encrypted_content"]) for item in items if item["type"] == COMPACTION)
    num_chars = len(json.dumps([items, instructions], ensure_ascii=False))
    num_chars += sum(len(turn.content) for turns in packed for turn in turns)
    if num_chars > max_chars:
        message = f"{param} has {num_chars} characters; at most {max_chars} are allowed"
        raise InvalidRequestError(message, param)


def to_messages(items: Sequence[Item], instructions: str | None, with_calls: bool = False) -> tuple[ChatMessage, ...]:
    """The conversation for an answer from documents, without empty messages; on request with calls and results."""
    messages = [] if not instructions else [ChatMessage("system", instructions)]
    for item in items:
        if item["type"] == "message" and text_of(item).strip():
            messages.append(ChatMessage("system" if item["role"] == "developer" else item["role"], text_of(item)))
        elif item["type"] == "function_call" and with_calls:
            _add_call(messages, ToolCall(item["call_id"], item["name"], item["arguments"]))
        elif item["type"] == "function_call_output" and with_calls:
            messages.append(ChatMessage(TOOL, _output_text(item), call_id=item["call_id"]))
        elif item["type"] == COMPACTION:
            messages += unpacked(item["encrypted_content"])
    return tuple(messages)


def to_chat_messages(items: Sequence[Item], instructions: str | None) -> list[dict[str, Any]]:
    """The conversation as chat completions take it, with calls of functions and their results.

    System messages are one, the first: many chat templates refuse a second one.
    """
    messages = to_messages(items, instructions, with_calls=True)
    system = [message.content for message in messages if message.role == "system"]
    first = [{"role": "system", "content": "\n\n".join(system)}] if system else []
    return [*first, *(to_chat(message) for message in messages if message.role != "system")]


def _add_call(messages: list[ChatMessage], call: ToolCall) -> None:
    """Parallel calls are one message of the assistant, together with the text before them."""
    if messages and messages[-1].role == "assistant":
        last = messages.pop()
        messages.append(replace(last, calls=(*last.calls, call)))
    else:
        messages.append(ChatMessage("assistant", "", (call,)))


def _output_text(item: Item) -> str:
    output = item["output"]
    return output if isinstance(output, str) else text_of({"content": output})


def shown_item(item: Item, with_results: bool) -> Item:
    """The item as a response shows it: a search has its results on request."""
    return item if with_results or item["type"] != "file_search_call" else item | {"results": None}
