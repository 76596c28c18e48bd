"""Files and vector stores with OpenAI's own client, on a running cluster."""

from collections.abc import Iterator

import openai
import pytest

from tests.conftest import Service
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SOUP = b"# Kitchen\n\nThe leek soup simmers for forty minutes.\n"
STEW = b"# Kitchen\n\nThe bean stew simmers for three hours.\n"


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE_S) as opened:
        yield opened


@pytest.fixture
def store(client: openai.OpenAI) -> Iterator[str]:
    created = client.vector_stores.create(name="kitchen")
    yield created.id
    client.vector_stores.delete(created.id)


def test_an_uploaded_file_can_be_searched(client: openai.OpenAI, store: str) -> None:
    attached = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("soup.md", SOUP), attributes={"course": "first"}
    )

    (result,) = client.vector_stores.search(store, query="How long does the soup simmer?").data

    assert attached.status == "completed"
    assert client.files.wait_for_processing(attached.id, poll_interval=0.05).status == "processed"
    assert (result.file_id, result.filename, result.attributes) == (attached.id, "soup.md", {"course": "first"})
    assert "forty minutes" in result.content[0].text
    assert 0 <= result.score <= 1
    contents = list(client.vector_stores.files.content(attached.id, vector_store_id=store))
    assert result.content[0].text in [content.text for content in contents]


def test_an_uploaded_batch_can_be_filtered(client: openai.OpenAI, store: str) -> None:
    ids = [
        client.files.create(file=(name, content), purpose="assistants").id
        for name, content in (("soup.md", SOUP), ("stew.md", STEW))
    ]
    batch = client.vector_stores.file_batches.create_and_poll(
        store,
        files=[
            {"file_id": file_id, "attributes": {"course": course}} for file_id, course in zip(ids, (1, 2), strict=True)
        ],
    )

    def matching_files(filters: dict[str, object]) -> set[str]:
        page = client.vector_stores.search(store, query="What simmers?", filters=filters)
        return {result.file_id for result in page.data}

    assert (batch.status, batch.file_counts.completed) == ("completed", 2)
    assert matching_files({"type": "eq", "key": "course", "value": 1}) == {ids[0]}
    assert matching_files({"type": "in", "key": "course", "value": [1, 2]}) == set(ids)
    client.vector_stores.files.update(ids[0], vector_store_id=store, attributes={"course": 3})
    assert matching_files({"type": "lte", "key": "course", "value": 2}) == {ids[1]}
    assert {file.id for file in client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store)} == set(
        ids
    )


def test_a_new_version_replaces_the_previous_one(client: openai.OpenAI, store: str) -> None:
    attached = client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("pot.md", SOUP))

    replaced = client.put(f"/files/{attached.id}/content", cast_to=object, content=STEW)
    client.vector_stores.files.poll(attached.id, vector_store_id=store, poll_interval_ms=50)

    assert replaced["version"] == 2
    page = client.vector_stores.search(store, query="What simmers?")
    texts = [result.content[0].text for result in page.data]
    assert ["bean stew" in text for text in texts] == [True]
    completion = client.chat.completions.create(
        model="ragserve",
        messages=[{"role": "user", "content": "What simmers for three hours?"}],
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
    )
    assert "bean stew" in completion.choices[0].message.content


def test_the_default_store_can_be_deleted_and_filled_again(client: openai.OpenAI) -> None:
    file_id = client.vector_stores.files.upload_and_poll(vector_store_id="default", file=("soup.md", SOUP)).id

    def soup_files() -> set[str]:
        page = client.vector_stores.search("default", query="leek soup")
        return {result.file_id for result in page.data}

    assert file_id in soup_files()

    client.vector_stores.delete("default")

    assert soup_files() == set()
    client.vector_stores.files.create_and_poll(file_id, vector_store_id="default", poll_interval_ms=50)
    assert soup_files() == {file_id}
