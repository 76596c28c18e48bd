from pathlib import Path

from models.types.generation import ChatMessage
from models.types.scope import Scope
from serve.pipelines.answering import Answered, Query
from serve.pipelines.follow_up_answering import FollowUpAnswering
from serve.pipelines.query import QueryConfig, QueryPipeline
from tests.contexts import within
from tests.inline import ingest, inline_stages, open_corpus

FILES = {
    "delta.md": b"# Delta barge\n\nThe Delta barge is 30 metres long. The Delta barge carries gravel.\n",
    "gamma.md": b"# Gamma tug\n\nThe Gamma tug is 9 metres long. The Gamma tug carries mail.\n",
}


async def test_a_follow_up_is_answered_about_the_subject_of_the_conversation(tmp_path: Path) -> None:
    corpus = open_corpus(tmp_path)
    for name, content in FILES.items():
        await ingest(corpus, name, content)
    turns = [("user", "How long is the Delta barge?"), ("assistant", "30 metres."), ("user", "And what does it carry?")]
    query = Query(tuple(ChatMessage(*turn) for turn in turns), Scope("default", ("default",)), 5)
    answering = FollowUpAnswering(QueryPipeline(inline_stages(corpus), QueryConfig()))

    answered = [event async for event in answering.answer(query, within(60))][-1]

    assert isinstance(answered, Answered)
    assert answered.search_query == "And what does it carry? long Delta barge"
    assert answered.citations[0].quote == "The Delta barge carries gravel."
    corpus.close()
