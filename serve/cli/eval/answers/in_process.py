"""Answers by the service's own pipelines in this process: the extractive model over a set in memory."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from deployments.generator import InlineGenerator
from models.deadline import Deadline
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.types.generation import ChatMessage
from models.types.request_context import RequestContext
from models.types.scope import DEFAULT_TENANT, Scope
from serve.cli.driver.offline_retrieval import OfflineRetrieval
from serve.cli.driver.offline_search import TOP_K
from serve.cli.eval.answers.outcome import Cite, Outcome
from serve.pipelines.answering import Answered, Answering, Query
from serve.pipelines.changed_topic_answering import ChangedTopicAnswering
from serve.pipelines.declining_generation import DecliningGeneration
from serve.pipelines.follow_up_answering import FollowUpAnswering
from serve.pipelines.query import QueryConfig, QueryPipeline, QueryStages
from serve.pipelines.small_talk_answering import SmallTalkAnswering
from serve.pipelines.weighed_retrieval import WeighedRetrieval

SCOPE = Scope(DEFAULT_TENANT, ("eval",))


class InProcessAnswerer:
    """The request path of the service, with the gate that declines."""

    def __init__(self, retrieval: OfflineRetrieval) -> None:
        config = QueryConfig(passage_order="relevance")
        quoting = InlineGenerator(ExtractiveModel("extractive", ExtractiveConfig()))
        generator = DecliningGeneration(quoting, config.min_evidence)
        answering: Answering = QueryPipeline(QueryStages(WeighedRetrieval(retrieval), generator, quoting), config)
        answering = FollowUpAnswering(ChangedTopicAnswering(answering, config.total_s))
        self._answering: Answering = SmallTalkAnswering(answering)

    def answer(self, messages: Sequence[ChatMessage]) -> Outcome:
        """As Answerer."""
        return _outcome(asyncio.run(self._last(Query(tuple(messages), SCOPE, TOP_K))))

    async def _last(self, query: Query) -> Answered:
        context = RequestContext("eval", DEFAULT_TENANT, Deadline.never())
        async with aclosing(self._answering.answer(query, context)) as events:
            async for event in events:
                if isinstance(event, Answered):
                    return event
        raise AssertionError("the query pipeline ends with Answered or raises")


def _outcome(answered: Answered) -> Outcome:
    cites = tuple(Cite(each.id, each.passage.file_id, each.quote) for each in answered.citations)
    return Outcome(answered.text, cites, not answered.answerable)
