"""Stages inside two ingress replicas: both give the same answers and see the same files."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.conftest import Service, restored_afterwards

pytestmark = [pytest.mark.ray, pytest.mark.slow]

INLINE = ("Embedder", "DenseSearcher", "LexicalSearcher", "Reranker")
PROCESS = "process_start_time_seconds"


@pytest.fixture(scope="module")
def compact(service: Service) -> Iterator[Service]:
    """The service with two ingress replicas, and the small stages inside each."""
    with restored_afterwards(service):
        application = service.raw["applications"][0]
        moved = {name: service.deployment(name) for name in INLINE}
        application["deployments"] = [
            deployment for deployment in application["deployments"] if deployment["name"] not in INLINE
        ]
        application["args"]["inline"] = {name: deployment["user_config"] for name, deployment in moved.items()}
        service.deployment("Ingress")["autoscaling_config"] |= {"min_replicas": 2, "max_replicas": 2}
        service.apply()
        yield service


def ingress_of(http: httpx.Client) -> str:
    """Identify the ingress replica of this client's connection, by the start time of its process."""
    lines = http.get("/metrics").text.splitlines()
    return next(line for line in lines if line.startswith(PROCESS))


@pytest.fixture
def ingresses(compact: Service) -> Iterator[list[httpx.Client]]:
    """One client for each ingress replica. A client keeps its connection, and so its replica."""
    client_by_ingress: dict[str, httpx.Client] = {}
    opened: list[httpx.Client] = []
    while len(client_by_ingress) < 2 and len(opened) < 50:
        client = httpx.Client(base_url=compact.url, timeout=120, trust_env=False)
        opened.append(client)
        client_by_ingress.setdefault(ingress_of(client), client)
    yield list(client_by_ingress.values())
    for client in opened:
        client.close()


def test_two_ingresses_with_inline_stages_give_the_same_answer(compact: Service, ingresses: list[httpx.Client]) -> None:
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


def test_both_ingresses_see_a_detached_file(compact: Service, ingresses: list[httpx.Client]) -> None:
    first, second = ingresses
    file = first.post("/v1/files", files={"file": ("buoy.md", b"The buoy is green.")}, data={"purpose": "assistants"})
    store = second.post("/v1/vector_stores", json={"name": "buoys"}).json()["id"]
    with openai.OpenAI(base_url=f"{compact.url}/v1", api_key="unused") as client:
        client.vector_stores.files.create_and_poll(file.json()["id"], vector_store_id=store)
    before = second.post(f"/v1/vector_stores/{store}/search", json={"query": "green buoy"}).json()["data"]

    first.delete(f"/v1/vector_stores/{store}/files/{file.json()['id']}").raise_for_status()

    after = second.post(f"/v1/vector_stores/{store}/search", json={"query": "green buoy"}).json()["data"]
    assert [hit["filename"] for hit in before] == ["buoy.md"]
    assert after == []
