"""The Responses API by the clients of two frameworks, each with file search."""

from collections.abc import Iterator

import pytest

from tests.frameworks import output_of
from tests.serve.api.http_server import Server

pytestmark = pytest.mark.slow
QUESTION = "How hot does the oven get?"
SEARCH = {"type": "file_search", "vector_store_ids": ["default"]}
LANGCHAIN = f"""
from langchain_openai import ChatOpenAI
model = ChatOpenAI(base_url="URL", api_key="-", model="ragserve", use_responses_api=True)
print(model.bind_tools([{SEARCH}]).invoke({QUESTION!r}).text)
"""
LANGCHAIN_STREAM = (
    LANGCHAIN.replace("print(", "print(''.join(part.text for part in ")
    .replace("invoke", "stream")
    .replace(".text)\n", "))\n")
)
LLAMA_INDEX = f"""
from llama_index.llms.openai_like import OpenAILikeResponses
model = OpenAILikeResponses(
    api_base="URL", api_key="-", model="ragserve", is_chat_model=True, built_in_tools=[{SEARCH}]
)
print(model.complete({QUESTION!r}).text)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("frameworks"))
    started.start()
    yield started
    started.stop()


@pytest.mark.parametrize(
    "program", [LANGCHAIN, LANGCHAIN_STREAM, LLAMA_INDEX], ids=["langchain", "langchain stream", "llama-index"]
)
def test_a_framework_gets_a_cited_answer(server: Server, program: str) -> None:
    printed = output_of(program.replace("URL", f"http://127.0.0.1:{server.port}/v1"))

    assert "heats to 250 degrees. [1]" in printed
