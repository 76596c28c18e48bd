"""Periodic clean-up: delete what has expired, retire old vectors, trim the log, count dead letters."""

import asyncio
import logging
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field

from deployments.telemetry.metrics.ingestion import DEAD_LETTERS, INGESTION_BACKLOG, INGESTION_BACKLOG_SECONDS
from models.corpus.corpus import Corpus
from models.corpus.expiry import DAY_S
from models.corpus.failures import FailureReason
from models.errors.storage import STORAGE_ERRORS
from serve.pipelines.wakeup import Wakeup

logger = logging.getLogger(__name__)


class HousekeepingConfig(BaseModel):
    """How often to clean up, and how long responses, conversations, feedback and facts are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_s: float = Field(default=30.0, ge=0.1, le=86_400, description="Seconds between two rounds.")
    keep_responses_s: float = Field(
        default=30 * DAY_S, ge=60, le=3650 * DAY_S, description="Seconds for which a response is kept."
    )
    keep_conversations_s: float = Field(
        default=90 * DAY_S,
        ge=60,
        le=3650 * DAY_S,
        description="Seconds for which a conversation is kept after its last use.",
    )
    keep_feedback_s: float = Field(
        default=365 * DAY_S, ge=60, le=3650 * DAY_S, description="Seconds for which feedback on an answer is kept."
    )
    keep_audit_s: float = Field(
        default=365 * DAY_S, ge=DAY_S, le=3650 * DAY_S, description="Seconds for which the audit log keeps an event."
    )
    keep_user_facts_s: float = Field(
        default=365 * DAY_S,
        ge=60,
        le=3650 * DAY_S,
        description="Seconds for which a fact about a user is kept after it was last stated.",
    )


class Housekeeper:
    """Runs the rounds. Any number of processes may run rounds at once, and a round may be cancelled anywhere."""

    def __init__(self, corpus: Corpus, config: HousekeepingConfig, keep_previous_s: float) -> None:
        self._corpus, self._config, self._keep_previous_s = corpus, config, keep_previous_s
        self._wakeup = Wakeup()

    def configure(self, config: HousekeepingConfig, keep_previous_s: float) -> None:
        """Takes effect at once: the next round begins now."""
        self._config, self._keep_previous_s = config, keep_previous_s
        self._wakeup.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        has_trimmed = False
        while True:
            try:
                if not has_trimmed:  # their number can be lowered only by a new start
                    await asyncio.to_thread(self._corpus.files.trim_versions)
                    has_trimmed = True
                await asyncio.to_thread(self.clean_up)
            except STORAGE_ERRORS as error:
                logger.warning("the clean-up failed and is tried again in the next round: %s", error)
            await self._wakeup.wait(self._config.every_s)

    def clean_up(self) -> None:
        """One round."""
        self._corpus.database.keep_reserve()
        self._corpus.files.delete_leftovers()
        self._corpus.files.delete_expired()
        self._corpus.vector_stores.expire()
        self._corpus.generations.retire(self._keep_previous_s)
        self._corpus.log.trim()
        self._corpus.responses.delete_older(self._config.keep_responses_s)
        self._corpus.conversations.delete_unused(self._config.keep_conversations_s)
        self._corpus.feedback.delete_older(self._config.keep_feedback_s)
        self._corpus.user_facts.delete_older(self._config.keep_user_facts_s)
        self._corpus.audit_log.delete_older(self._config.keep_audit_s)
        num_files, oldest_s = self._corpus.jobs.backlog()
        INGESTION_BACKLOG.set(num_files)
        INGESTION_BACKLOG_SECONDS.set(oldest_s)
        counts = self._corpus.dead_letters.counts()
        for reason in get_args(FailureReason):
            DEAD_LETTERS.labels(reason).set(counts.get(reason, 0))
