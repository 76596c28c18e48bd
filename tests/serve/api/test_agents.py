"""OpenAI's agent framework at its defaults, over HTTP: it asks /v1/responses, and searches our vector stores."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import agents
import openai
import pytest
from agents.models.default_models import get_default_model

from tests.serve.api.http_server import Server

HOT, CLEAN = "How hot does the oven get?", "And how is it cleaned?"
VINEGAR = "The oven is cleaned with warm vinegar. [1]"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    # The framework names its own default model.
    started = Server(tmp_path, {get_default_model(): "ragserve"})
    started.start()
    yield started
    started.stop()


@pytest.fixture
async def agent(server: Server) -> AsyncIterator[agents.Agent]:
    """An agent as its tutorial makes it, and the framework's own client with our address."""
    client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="unused")
    agents.set_default_openai_client(client, use_for_tracing=False)
    agents.set_tracing_disabled(True)
    search = agents.FileSearchTool(max_num_results=3, vector_store_ids=["default"], include_search_results=True)
    yield agents.Agent(name="File searcher", instructions="Answer from the vector store only.", tools=[search])
    await client.close()


async def test_an_agent_searches_files(agent: agents.Agent) -> None:
    result = await agents.Runner.run(agent, HOT)
    follow_up = await agents.Runner.run(agent, [*result.to_input_list(), {"role": "user", "content": CLEAN}])

    search, message = result.raw_responses[0].output
    assert "250 degrees" in search.results[0].text
    assert message.content[0].annotations[0].filename == "ovens.md"
    assert result.final_output.startswith("The oven heats to 250 degrees. [1]")
    assert follow_up.final_output.startswith(VINEGAR)


async def test_an_agent_streams(agent: agents.Agent) -> None:
    stream = agents.Runner.run_streamed(agent, HOT)
    kinds = [event.data.type async for event in stream.stream_events() if event.type == "raw_response_event"]

    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert "response.output_text.annotation.added" in kinds
    assert "250 degrees" in stream.final_output


@pytest.mark.parametrize("state", ["previous response", "conversation", "session"])
async def test_an_agent_leaves_its_state_to_the_service(agent: agents.Agent, state: str) -> None:
    session = agents.OpenAIConversationsSession() if state == "session" else None
    client = agents.models._openai_shared.get_default_openai_client()
    assert client is not None
    conversation = (await client.conversations.create()).id if state == "conversation" else None

    first = await agents.Runner.run(agent, HOT, session=session, conversation_id=conversation)
    previous = first.last_response_id if state == "previous response" else None
    second = await agents.Runner.run(
        agent, CLEAN, session=session, conversation_id=conversation, previous_response_id=previous
    )

    assert second.final_output.startswith(VINEGAR)
