"""What works on the corpus beside the requests."""

from models.corpus.corpus import Corpus
from serve.api.services import BackgroundWork
from serve.backups.schedule import BackupSchedule
from serve.clients import Clients
from serve.events.delivery import EventDelivery
from serve.events.sinks import configured_sinks
from serve.pipelines.housekeeping import Housekeeper
from serve.pipelines.ingest import IngestPipeline
from serve.pipelines.ingest_worker import IngestWorker
from serve.pipelines.migrate import GenerationBuilder
from serve.pipelines.semantic_parsing import SemanticParsing
from serve.settings import Settings


class Workers:
    """The workers of one process: ingestion, index generations, housekeeping, events and backups."""

    def __init__(self, settings: Settings, corpus: Corpus, clients: Clients) -> None:
        """`settings` are those of `args`; `configure` overrides them with a user_config."""
        parser = SemanticParsing(clients.parser, clients.embedder)
        pipeline = IngestPipeline(parser, clients.embedder, corpus, settings.ingest)
        self.ingest = IngestWorker(pipeline, corpus, settings.ingest)
        with_tokens = settings.ingest.token_vectors
        self._builder = GenerationBuilder(clients.embedder, corpus, settings.migration, with_tokens)
        self._housekeeper = Housekeeper(corpus, settings.housekeeping, settings.migration.keep_previous_s)
        sinks = configured_sinks(settings.events)
        corpus.outbox.register([sink.name for sink in sinks])
        self._events = EventDelivery(sinks, corpus.outbox, settings.events)
        self.backups = BackupSchedule(settings.backups, settings.storage)

    @property
    def background(self) -> tuple[BackgroundWork, ...]:
        """All but ingestion, which requests wake."""
        return self._builder, self._housekeeper, self._events, self.backups

    def configure(self, settings: Settings) -> None:
        self.ingest.configure(settings.ingest)
        self._builder.configure(settings.migration, settings.ingest.token_vectors)
        self._housekeeper.configure(settings.housekeeping, settings.migration.keep_previous_s)
