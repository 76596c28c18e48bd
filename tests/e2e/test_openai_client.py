"""OpenAI's own client, with only its base URL changed."""

from collections.abc import Iterator

import openai
import pytest

from tests.conftest import Service
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.slow]

HANDBOOK = b"""# Observatory handbook

## The dome

The dome opens at dusk and must be closed when the wind exceeds 54 km/h.

## The telescope

The primary mirror is 2.4 metres wide and is cleaned with carbon dioxide snow.
"""


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE_S) as opened:
        yield opened


@pytest.fixture(scope="module")
def file_id(client: openai.OpenAI) -> str:
    uploaded = client.files.create(file=("observatory.md", HANDBOOK), purpose="assistants")
    attached = client.vector_stores.files.create_and_poll(uploaded.id, vector_store_id="default", poll_interval_ms=50)
    assert attached.status == "completed", attached.last_error
    return uploaded.id


def test_a_completion_answers_with_citations(client: openai.OpenAI, file_id: str) -> None:
    completion = client.chat.completions.create(
        model="ragserve", messages=[{"role": "user", "content": "How wide is the primary mirror?"}]
    )

    message = completion.choices[0].message
    assert "2.4 metres" in message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    annotation = message.annotations[0].url_citation
    assert message.content[annotation.start_index : annotation.end_index] == "[1]"
    assert f"/v1/files/{file_id}/text#char=" in annotation.url
    assert completion.citations[0]["file_id"] == file_id


def test_a_stream_gives_the_same_text_and_ends_with_usage(client: openai.OpenAI, file_id: str) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "When must the dome be closed?"}]},
    ]
    # The model that quotes follows no system message.
    extra_body = {"extra": "ignore"}
    whole = client.chat.completions.create(model="ragserve", messages=messages, extra_body=extra_body)

    chunks = list(
        client.chat.completions.create(
            model="ragserve",
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
            extra_body=extra_body,
        )
    )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "54 km/h" in text
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].citations[0]["file_id"] == file_id
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0


def test_the_file_search_tool_names_the_vector_stores(client: openai.OpenAI, file_id: str) -> None:
    with pytest.raises(openai.NotFoundError, match="vs_unknown"):
        client.chat.completions.create(
            model="ragserve",
            messages=[{"role": "user", "content": "How wide is the mirror?"}],
            tools=[{"type": "file_search", "vector_store_ids": ["vs_unknown"]}],
        )


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Hello?"}])

    assert caught.value.code == "model_not_found"
    assert "extractive" in caught.value.message


def test_files_are_listed_read_and_deleted(client: openai.OpenAI) -> None:
    content = b"# Parking\n\nThe car park holds 312 cars.\n"

    uploaded = client.files.create(file=("parking.md", content), purpose="assistants")
    again = client.files.create(file=("parking.md", content), purpose="assistants")

    assert again.id == uploaded.id
    assert (uploaded.filename, uploaded.bytes, uploaded.status) == ("parking.md", len(content), "processed")
    assert uploaded.id in [file.id for file in client.files.list()]
    assert client.files.retrieve(uploaded.id).filename == "parking.md"
    assert client.files.content(uploaded.id).read() == content
    assert client.files.delete(uploaded.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(uploaded.id)


def test_a_detached_file_is_not_cited_again(client: openai.OpenAI) -> None:
    def answer() -> str:
        messages = [{"role": "user", "content": "What is the password of the zeppelin hangar?"}]
        return client.chat.completions.create(model="ragserve", messages=messages).choices[0].message.content

    uploaded = client.files.create(
        file=("hangar.txt", b"The password of the zeppelin hangar is marmalade."), purpose="assistants"
    )
    client.vector_stores.files.create_and_poll(uploaded.id, vector_store_id="default", poll_interval_ms=50)
    assert "marmalade" in answer()

    client.vector_stores.files.delete(uploaded.id, vector_store_id="default")

    assert "marmalade" not in answer()
    assert uploaded.id not in [file.id for file in client.vector_stores.files.list("default")]


def test_only_the_named_store_is_searched(client: openai.OpenAI, file_id: str) -> None:
    note = client.files.create(file=("note.txt", b"The mirror in the lobby is 3 metres wide."), purpose="assistants")
    store = client.vector_stores.create(name="lobby", file_ids=[note.id])
    client.vector_stores.files.poll(note.id, vector_store_id=store.id, poll_interval_ms=50)

    def retrieved_files() -> set[str]:
        completion = client.chat.completions.create(
            model="ragserve",
            messages=[{"role": "user", "content": "How wide is the mirror?"}],
            tools=[{"type": "file_search", "vector_store_ids": [store.id]}],
        )
        return {passage["file_id"] for passage in completion.passages}

    assert retrieved_files() == {note.id}
    assert store.id in [listed.id for listed in client.vector_stores.list()]
    assert client.vector_stores.delete(store.id).deleted
    with pytest.raises(openai.NotFoundError):
        retrieved_files()


def test_an_unreadable_file_fails_with_a_reason(client: openai.OpenAI) -> None:
    uploaded = client.files.create(file=("broken.pdf", b"%PDF-1.7 and then nothing"), purpose="assistants")

    attached = client.vector_stores.files.create_and_poll(uploaded.id, vector_store_id="default", poll_interval_ms=50)

    assert attached.status == "failed"
    assert attached.last_error.code == "invalid_file"
    assert attached.last_error.message


def test_ingesting_twice_changes_nothing(client: openai.OpenAI, file_id: str) -> None:
    before = client.vector_stores.retrieve("default")

    uploaded = client.files.create(file=("observatory.md", HANDBOOK), purpose="assistants")
    attached = client.vector_stores.files.create_and_poll(uploaded.id, vector_store_id="default", poll_interval_ms=50)

    after = client.vector_stores.retrieve("default")
    assert uploaded.id == file_id
    assert attached.status == "completed"
    assert (after.file_counts, after.usage_bytes) == (before.file_counts, before.usage_bytes)


def test_a_chunking_strategy_is_stored_and_bounded(client: openai.OpenAI) -> None:
    uploaded = client.files.create(
        file=("long.txt", b"One sentence follows another here. " * 200), purpose="assistants"
    )
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}}

    attached = client.vector_stores.files.create_and_poll(
        uploaded.id, vector_store_id="default", chunking_strategy=strategy, poll_interval_ms=50
    )

    assert attached.chunking_strategy.static.max_chunk_size_tokens == 100
    strategy["static"]["chunk_overlap_tokens"] = 80
    with pytest.raises(openai.UnprocessableEntityError, match="at most half"):
        client.vector_stores.files.create("default", file_id=uploaded.id, chunking_strategy=strategy)


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert next(model.id for model in client.models.list()) == "ragserve"
    assert client.models.retrieve("extractive").id == "extractive"
