"""Periodic clean-up: delete expired files and stores, retire old vectors, trim the log, count dead letters."""

import asyncio
import logging
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field

from deployments.telemetry import metrics
from models.corpus.corpus import Corpus
from models.corpus.failures import FailureReason
from models.errors import OverloadedError
from serve.pipelines.wakeup import Wakeup

logger = logging.getLogger(__name__)


class HousekeepingConfig(BaseModel):
    """How often to clean up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_s: float = Field(default=30.0, ge=0.1, le=86_400, description="Seconds between two rounds.")


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
        while True:
            try:
                await asyncio.to_thread(self.clean_up)
            except OverloadedError as error:
                logger.warning("the clean-up failed and is tried again in the next round: %s", error)
            await self._wakeup.wait(self._config.every_s)

    def clean_up(self) -> None:
        """One round."""
        self._corpus.files.delete_expired()
        self._corpus.vector_stores.expire()
        self._corpus.generations.retire(self._keep_previous_s)
        self._corpus.log.trim()
        counts = self._corpus.dead_letters.counts()
        for reason in get_args(FailureReason):
            metrics.DEAD_LETTERS.labels(reason).set(counts.get(reason, 0))
