"""Stages inside the ingress, and two ingresses: the same answers, and what one of them stores the other finds."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.conftest import Service, put_back_afterwards

pytestmark = [pytest.mark.ray, pytest.mark.slow]

INLINE = ("Embedder", "DenseSearcher", "LexicalSearcher", "Reranker")
PROCESS = "process_start_time_seconds"


@pytest.fixture(scope="module")
def compact(service: Service) -> Iterator[Service]:
    """The service with every small stage inside its two ingresses."""
    with put_back_afterwards(service):
        application = service.raw["applications"][0]
        moved = {name: service.deployment(name) for name in INLINE}
        application["deployments"] = [one for one in application["deployments"] if one["name"] not in INLINE]
        application["args"]["inline"] = {name: one["user_config"] for name, one in moved.items()}
        service.deployment("Ingress")["autoscaling_config"] |= {"min_replicas": 2, "max_replicas": 2}
        service.apply()
        yield service


def ingress_of(http: httpx.Client) -> str:
    """What tells the process apart that this client's connection leads to."""
    lines = http.get("/metrics").text.splitlines()
    return next(line for line in lines if line.startswith(PROCESS))


@pytest.fixture
def ingresses(compact: Service) -> Iterator[list[httpx.Client]]:
    """A client of each ingress, by its connection."""
    found: dict[str, httpx.Client] = {}
    others: list[httpx.Client] = []
    while len(found) < 2 and len(others) < 50:
        client = httpx.Client(base_url=compact.url, timeout=120, trust_env=False)
        others.append(client)
        found.setdefault(ingress_of(client), client)
    yield list(found.values())
    for client in others:
        client.close()


def test_two_ingresses_with_their_stages_inside_answer_alike(compact: Service, ingresses: list[httpx.Client]) -> None:
    with openai.OpenAI(base_url=f"{compact.url}/v1", api_key="unused") as client:
        store = client.vector_stores.create(name="lighthouses").id
        for number in range(4):
            note = f"The lighthouse of island {number} flashes every {number + 3} seconds.".encode()
            client.vector_stores.files.upload_and_poll(vector_store_id=store, file=(f"{number}.md", note))
    body = {"query": "How often does the lighthouse of island 2 flash?", "vector_store_ids": [store]}

    answers = [ingress.post("/v1/query", json=body).json() for ingress in ingresses]

    assert len(answers) == 2
    assert {answer["answer"] for answer in answers} == {answers[0]["answer"]}
    assert "every 5 seconds" in answers[0]["answer"]
    assert [answer["degraded"] for answer in answers] == [[], []]
    assert answers[0]["models"] == {"embed": "minilm", "rerank": "late-interaction", "generate": "extractive"}


def test_what_one_ingress_deletes_the_other_does_not_find(compact: Service, ingresses: list[httpx.Client]) -> None:
    first, second = ingresses
    file = first.post("/v1/files", files={"file": ("buoy.md", b"The buoy is green.")}, data={"purpose": "assistants"})
    store = second.post("/v1/vector_stores", json={"name": "buoys"}).json()["id"]
    with openai.OpenAI(base_url=f"{compact.url}/v1", api_key="unused") as client:
        client.vector_stores.files.create_and_poll(file.json()["id"], vector_store_id=store)
    found = second.post(f"/v1/vector_stores/{store}/search", json={"query": "green buoy"}).json()["data"]

    first.delete(f"/v1/vector_stores/{store}/files/{file.json()['id']}").raise_for_status()

    left = second.post(f"/v1/vector_stores/{store}/search", json={"query": "green buoy"}).json()["data"]
    assert [hit["filename"] for hit in found] == ["buoy.md"]
    assert left == []
