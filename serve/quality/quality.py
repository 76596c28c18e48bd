"""All that watches the quality of answers in one process."""

import asyncio

from serve.pipelines.answering import Answering
from serve.quality.config import QualityConfig
from serve.quality.document_canary import DocumentCanary
from serve.quality.question_log import QuestionLog
from serve.quality.scorer import Scorer
from serve.quality.watched_answering import AnswerObserver, WatchedAnswering


class Quality:
    """The question log, scores in the background, and the canary. Each is off or on by its config."""

    def __init__(self, log: QuestionLog, scorer: Scorer, canary: DocumentCanary) -> None:
        self._log, self._scorer, self.canary = log, scorer, canary

    def configure(self, config: QualityConfig) -> None:
        """Takes effect at once."""
        self._log.configure(config.log)
        self._scorer.configure(config.scoring)
        self.canary.configure(config.canary)

    def answers(self, answering: Answering, config: QualityConfig) -> Answering:
        """The answering, shown to what is on. Nothing on: the same object, at no cost."""
        observers: list[AnswerObserver] = []
        if config.log.share:
            observers.append(self._log)
        if config.scoring.share:
            observers.append(self._scorer)
        return WatchedAnswering(answering, observers) if observers else answering

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._log.run())
            tasks.create_task(self._scorer.run())
            tasks.create_task(self.canary.run())
