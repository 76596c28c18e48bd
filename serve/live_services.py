"""The services of one process. Their settings can change while it serves."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

from models.breaker import State, worst
from models.catalog import Catalog
from models.corpus.corpus import Corpus
from models.errors.storage import STORAGE_ERRORS
from models.generation.passage_order import OrderName, PassageOrder, passage_order
from serve.access.limits import RequestLimits
from serve.access.stored_limits import StoredLimits
from serve.access_control import CurrentCounters, open_access
from serve.api.client_names import check_model_aliases
from serve.api.services import Services
from serve.caching.caches import Caches
from serve.clients import Clients
from serve.conversations.recall import Recall
from serve.conversations.recalled_retrieval import RecalledRetrieval
from serve.conversations.remembering_answering import Quoting, RememberingAnswering
from serve.conversations.summary import RunningSummary
from serve.http_app import create_app
from serve.pipelines.answering import Answering
from serve.pipelines.changed_topic_answering import ChangedTopicAnswering
from serve.pipelines.cost_ledger import CostLedger
from serve.pipelines.declining_generation import DecliningGeneration
from serve.pipelines.decomposed_answering import DecomposedAnswering
from serve.pipelines.exact_identifiers import ExactIdentifiers, ExactRetrieval
from serve.pipelines.fair_retrieval import FairRetrieval, RetrievalTurns
from serve.pipelines.filtered_retrieval import FilteredRetrieval
from serve.pipelines.follow_up_answering import FollowUpAnswering
from serve.pipelines.follow_up_rewriting import follow_up_rewriter
from serve.pipelines.formed_answering import FormedAnswering
from serve.pipelines.grounded_answering import GroundedAnswering
from serve.pipelines.grounded_generation import GroundedGeneration
from serve.pipelines.in_process_quotes import InProcessQuotes
from serve.pipelines.language_model import small_model
from serve.pipelines.measured_answering import MeasuredAnswering
from serve.pipelines.merged_retrieval import HydeRetrieval, MultiQueryRetrieval
from serve.pipelines.metered_stages import MeteredCompletions, MeteredEmbedder, MeteredReranker
from serve.pipelines.metering import Metering
from serve.pipelines.observed_answering import ObservedAnswering
from serve.pipelines.own_context_answering import OwnContextAnswering
from serve.pipelines.prompted_answering import PromptedAnswering
from serve.pipelines.punctual_generation import PunctualGeneration
from serve.pipelines.query import QueryPipeline, QueryStages
from serve.pipelines.recent_answers import RecentAnswers
from serve.pipelines.retrieve import RetrievalConfig, RetrievalPipeline, RetrievalStages
from serve.pipelines.retrieving import Retrieving
from serve.pipelines.routed_retrieval import RoutedRetrieval
from serve.pipelines.shown_retrieval import ShownRetrieval
from serve.pipelines.slow_questions import SlowQuestions
from serve.pipelines.small_talk_answering import SmallTalkAnswering
from serve.pipelines.stages import (
    EmbedStage,
    GenerateStage,
    RerankStage,
)
from serve.pipelines.stepwise_generation import StepwiseGeneration
from serve.pipelines.stored_tokens import StoredTokenReranking
from serve.pipelines.structured_answering import StructuredAnswering
from serve.pipelines.supported_answering import SupportedAnswering
from serve.pipelines.undegraded import UndegradedAnswering, UndegradedRetrieval
from serve.pipelines.weighed_retrieval import WeighedRetrieval
from serve.quality.document_canary import CanaryParts, DocumentCanary
from serve.quality.quality import Quality
from serve.quality.question_log import QuestionLog
from serve.quality.scorer import Scorer
from serve.settings import Settings
from serve.workers import Workers


class LiveServices:
    """Composes pipelines, workers and the HTTP application, and composes the pipelines again when settings change."""

    def __init__(self, settings: Settings, catalog: Catalog, corpus: Corpus, clients: Clients) -> None:
        """`settings` are those of `args`; `configure` overrides them with a user_config."""
        check_model_aliases(settings.api.model_aliases, catalog)
        self._counters = CurrentCounters(settings)
        self._limits = RequestLimits(lambda: self.current.settings.limits, self._counters)
        self._metering, self._recent = Metering(settings.costs, self._limits.used), RecentAnswers()
        clients = replace(clients, embedder=MeteredEmbedder(clients.embedder, self._metering))
        self._completions = MeteredCompletions(clients.generator, self._metering)
        self._arguments, self._clients, self._corpus, self._catalog = settings, clients, corpus, catalog
        self._turns = RetrievalTurns()
        self._orders: dict[OrderName, PassageOrder] = {}
        self._caches = Caches(corpus.views, clients.statuses, catalog)
        self._stored_tokens = StoredTokenReranking(
            clients.reranker, clients.dense, self._caches.serving.sources["rerank"]
        )
        self._quotes = InProcessQuotes(clients.generator, self._caches.serving.quoting_generator, clients.quoting)
        self._workers = Workers(settings, corpus, clients)
        self._quality = self._open_quality(settings)
        self.app = create_app(self._services(settings))

    def _open_quality(self, settings: Settings) -> Quality:
        parts = CanaryParts(self._corpus, lambda: self.current.retrieval, self._workers.ingest.wake)
        log = QuestionLog(settings.quality.log, settings.storage.data_dir.resolve() / "question_log")
        scorer = Scorer(settings.quality.scoring, self._corpus.score_references)
        return Quality(log, scorer, DocumentCanary(settings.quality.canary, parts))

    def _services(self, settings: Settings) -> Services:
        """Those of the first request."""
        clients, corpus = self._clients, self._corpus
        retrieval, query = self._compose(settings)
        return Services(
            settings=settings,
            catalog=self._catalog,
            corpus=corpus,
            access=open_access(settings.api, corpus),
            limits=self._limits,
            stored_limits=StoredLimits(lambda: self.current.settings.limits, corpus.files.usage),
            retrieval=retrieval,
            query=query,
            completions=self._completions,
            embedder=clients.embedder,
            reranker=MeteredReranker(clients.reranker, self._metering),
            ingest=self._workers.ingest,
            background=(
                *self._workers.background,
                self._stored_tokens,
                self._caches,
                self._counters,
                self._quality,
                CostLedger(self._metering, corpus.monthly_costs),
                *clients.background,
            ),
            stages=self._caches.serving.sources,
            breakers=clients.breakers,
            dependencies=self._dependencies,
            unneeded_stages=self._unneeded_stages,
            background_problems=lambda: [*corpus.database.problems(), *self._workers.backups.problems()],
            inline=clients.inline,
            canary=self._quality.canary,
            recent=self._recent,
            rollout=clients.rollout,
        )

    @property
    def current(self) -> Services:
        """The services that the next request gets."""
        services: Services = self.app.state.services
        return services

    def configure(self, user_config: dict[str, Any] | None) -> None:
        """Overrides `args` with the user_config for later requests; a request under way keeps its settings.

        Raises ConfigError that names the key; then nothing has changed.
        """
        settings = self._arguments.with_user_config(user_config)
        check_model_aliases(settings.api.model_aliases, self._catalog)
        for name in settings.query.prompts.names:
            self._catalog.prompts.get(name)
        retrieval, query = self._compose(settings)
        self._counters.configure(settings)
        self._quality.configure(settings.quality)
        self._metering.configure(settings.costs)
        self._workers.configure(settings)
        # One assignment, so that a request sees only old settings or only new ones.
        self.app.state.services = replace(self.current, settings=settings, retrieval=retrieval, query=query)

    def _dependencies(self) -> dict[str, State]:
        """The state of the breaker of each server that this process calls."""
        states = {name: breaker.state for name, breaker in self._corpus.database.breakers.items()}
        redis = (*self._caches.breakers, *self._counters.breakers)
        return states | ({"redis": worst([breaker.state for breaker in redis])} if redis else {})

    async def _unneeded_stages(self) -> frozenset[str]:
        """The stages that answers do without now: this process quotes, the dense searchers rerank, and a second model
        embeds.
        """
        settings = self.current.settings
        reranks = settings.retrieval.stored_token_vectors and settings.ingest.token_vectors
        is_unneeded = {
            "embed": self._clients.has_second_embedder(),
            "rerank": reranks and self._stored_tokens.is_late_interaction,
            "generate": await self._quotes.has_model(),
        }
        return frozenset(stage for stage, unneeded in is_unneeded.items() if unneeded)

    async def check_health(self) -> None:
        """Raises if ingestion has stopped, or an inline replica is unhealthy. A database that is gone is no reason to
        begin again: a new process would not have it either.
        """
        self._workers.ingest.check_health()
        await asyncio.gather(*(stage.check_health() for stage in self._clients.inline))
        with suppress(*STORAGE_ERRORS):
            await asyncio.to_thread(self._corpus.views.heads, [("", "")])

    def _compose(self, settings: Settings) -> tuple[Retrieving, Answering]:
        """The request paths, from the inside out: each line wraps the one before, so a wrapper is one more line."""
        clients, corpus, caches = self._clients, self._corpus, self._caches
        caches.configure(settings.cache)
        clients.configure_breakers(settings.breaker)
        embedder = caches.embeddings(clients.embedder)
        reranker: RerankStage = self._stored_tokens if settings.retrieval.stored_token_vectors else clients.reranker
        reranker = ExactIdentifiers(MeteredReranker(reranker, self._metering))
        stages = RetrievalStages(embedder, clients.dense, clients.lexical, reranker, corpus.views, corpus.generations)
        retrieving = self._ranking(stages, settings.retrieval, settings.admission.max_shared_retrievals)
        understanding = settings.query.understanding
        model = small_model(self._completions, understanding)
        prompts = self._catalog.prompts.get(settings.query.prompts.prompt)
        retrieving = MultiQueryRetrieval(retrieving, understanding, model, prompts)
        retrieving = HydeRetrieval(retrieving, understanding, model, prompts)
        retrieving = FilteredRetrieval(retrieving, corpus.views, understanding)
        retrieving = WeighedRetrieval(retrieving)  # what these changed
        retrieving = RecalledRetrieval(retrieving)
        # An order keeps its counts across changes: new ones would lose the engine's prefix cache.
        name = settings.query.passage_order
        order = self._orders.setdefault(name, passage_order(name))
        fallback = caches.stale_generation(clients.fallback)
        stages_of_answers = QueryStages(retrieving, self._generation(settings), fallback)
        answering: Answering = QueryPipeline(stages_of_answers, settings.query, order)
        answering = GroundedAnswering(answering, caches.serving.is_extractive)
        answering = StructuredAnswering(answering)
        answering = ObservedAnswering(answering, self._metering, self._recent)
        # Outside the metrics of models: an answer from a cache is no model's work.
        answering = caches.answers(answering, settings.query, settings.retrieval)
        answering = ChangedTopicAnswering(answering, settings.query.total_s)
        answering = FollowUpAnswering(answering, follow_up_rewriter(self._completions, settings.query.follow_up))
        answering = DecomposedAnswering(answering, understanding, caches.serving.quotes, model)
        answering = SmallTalkAnswering(answering)
        answering = FormedAnswering(answering, settings.query.answer)
        answering = SupportedAnswering(answering, caches.serving.generator, caches.serving.is_extractive)
        answering = OwnContextAnswering(
            answering, settings.query, self._quotes, (caches.serving.generator, caches.serving.is_extractive)
        )
        answering = self._remembering(UndegradedAnswering(answering), embedder, settings)
        answering = SlowQuestions(MeasuredAnswering(answering), settings.log)
        answering = self._quality.answers(answering, settings.quality)
        return retrieving, answering

    def _ranking(self, stages: RetrievalStages, config: RetrievalConfig, max_at_once: int) -> Retrieving:
        """Retrieval for a text as it stands, from the inside out."""
        pipeline = RetrievalPipeline(stages, config)
        retrieving: Retrieving = self._caches.stale_retrieval(pipeline, self._corpus.views, config)
        retrieving = UndegradedRetrieval(retrieving)
        retrieving = ExactRetrieval(retrieving)
        retrieving = ShownRetrieval(retrieving, self._corpus.views)
        retrieving = RoutedRetrieval(retrieving)
        retrieving = WeighedRetrieval(retrieving)
        retrieving = FairRetrieval(retrieving, self._turns, max_at_once)
        return self._caches.retrieval(retrieving, config)

    def _generation(self, settings: Settings) -> GenerateStage:
        """The generator, from the inside out."""
        generator: GenerateStage = PunctualGeneration(self._quotes)
        generator = StepwiseGeneration(generator, settings.query.answer.max_calls, settings.query.first_text_s)
        generator = GroundedGeneration(generator)
        if settings.query.decline:
            generator = DecliningGeneration(generator, settings.query.min_evidence)
        return self._caches.kept_generation(generator)

    def _remembering(self, answering: Answering, embedder: EmbedStage, settings: Settings) -> Answering:
        """Memory around the path from the documents, and the prompts around both."""
        config, corpus = settings.memory, self._corpus
        recall = Recall(embedder, corpus.turn_vectors, corpus.user_facts)
        summary = RunningSummary(small_model(self._clients.generator, config), corpus.summaries, config.summary_every)
        quoting = Quoting(self._caches.serving.quotes, self._quotes, settings.query)
        answering = RememberingAnswering(answering, config, recall, summary, corpus.user_facts, quoting)
        return PromptedAnswering(answering, settings.query.prompts, self._catalog.prompts)
