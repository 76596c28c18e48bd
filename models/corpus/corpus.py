"""The corpus: everything that is stored. SQL is the source of truth, blobs are the uploads, searchers keep views."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.breaker import OnChange, ignore_change
from models.corpus.api_keys import ApiKeys
from models.corpus.audit_log import AuditLog
from models.corpus.conversations import Conversations
from models.corpus.database import Database, open_database
from models.corpus.database_config import DatabaseConfig
from models.corpus.dead_letters import DeadLetters
from models.corpus.embedding_references import EmbeddingReferences
from models.corpus.feedback import FeedbackStore
from models.corpus.file_batches import FileBatches
from models.corpus.files import Files
from models.corpus.filtered_files import FilteredFiles
from models.corpus.generations import Generations
from models.corpus.jobs import Jobs
from models.corpus.log import Log
from models.corpus.monthly_costs import MonthlyCosts
from models.corpus.outbox import Outbox
from models.corpus.positions import Positions
from models.corpus.remote_blobs import open_blobs
from models.corpus.responses import Responses
from models.corpus.score_references import ScoreReferences
from models.corpus.store_files import StoreFiles
from models.corpus.summaries import Summaries
from models.corpus.turn_vectors import TurnVectors
from models.corpus.user_facts import UserFacts
from models.corpus.vector_stores import VectorStores
from models.corpus.views import Views


@dataclass(frozen=True)
class Corpus:
    """The stored state. Methods are synchronous and thread-safe; many processes may have the same corpus open.

    A change is durable when its method returns. A method that raises changes nothing.
    """

    files: Files
    vector_stores: VectorStores
    store_files: StoreFiles
    file_batches: FileBatches
    filtered_files: FilteredFiles
    jobs: Jobs
    dead_letters: DeadLetters
    outbox: Outbox
    generations: Generations
    views: Views
    positions: Positions
    responses: Responses
    conversations: Conversations
    feedback: FeedbackStore
    score_references: ScoreReferences
    embedding_references: EmbeddingReferences
    turn_vectors: TurnVectors
    summaries: Summaries
    user_facts: UserFacts
    api_keys: ApiKeys
    audit_log: AuditLog
    monthly_costs: MonthlyCosts
    log: Log
    database: Database

    @staticmethod
    def open(
        database_url: str,
        blob_root: str | Path,
        clock: Callable[[], float] = time.time,
        config: DatabaseConfig | None = None,
        keep_file_versions: int = 0,
        on_change: OnChange = ignore_change,
    ) -> "Corpus":
        """Open the corpus, or create it. `blob_root` is a folder or a URL. `clock` gives Unix seconds.

        `keep_file_versions`: earlier ones of each file. `on_change` is told when a breaker of the database opens or
        closes. Raises ConfigError and DatabaseUnavailableError.
        """
        database = open_database(database_url, config or DatabaseConfig(), on_change)
        return Corpus(
            files=Files(database, open_blobs(blob_root), clock, keep_versions=keep_file_versions),
            vector_stores=VectorStores(database, clock),
            store_files=StoreFiles(database, clock),
            file_batches=FileBatches(database, clock),
            filtered_files=FilteredFiles(database, clock),
            jobs=Jobs(database, clock),
            dead_letters=DeadLetters(database, clock),
            outbox=Outbox(database, clock),
            generations=Generations(database, clock),
            views=Views(database),
            positions=Positions(database, clock),
            responses=Responses(database, clock),
            conversations=Conversations(database, clock),
            feedback=FeedbackStore(database, clock),
            score_references=ScoreReferences(database, clock),
            embedding_references=EmbeddingReferences(database, clock),
            turn_vectors=TurnVectors(database),
            summaries=Summaries(database, clock),
            user_facts=UserFacts(database, clock),
            api_keys=ApiKeys(database, clock),
            audit_log=AuditLog(database, clock),
            monthly_costs=MonthlyCosts(database, clock),
            log=Log(database),
            database=database,
        )

    def close(self) -> None:
        """Close idle connections. Acknowledged changes are durable without it."""
        self.database.close()
