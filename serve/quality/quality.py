"""All that watches the quality of answers in one process."""

import asyncio

from serve.pipelines.answering import Answering
from serve.quality.config import QualityConfig
from serve.quality.question_log import QuestionLog
from serve.quality.watched_answering import AnswerObserver, WatchedAnswering


class Quality:
    """The question log, scores in the background, and the canary. Each is off or on by its config."""

    def __init__(self, log: QuestionLog) -> None:
        self._log = log

    def configure(self, config: QualityConfig) -> None:
        """Takes effect at once."""
        self._log.configure(config.log)

    def answers(self, answering: Answering, config: QualityConfig) -> Answering:
        """The answering, shown to what is on. Nothing on: the same object, at no cost."""
        observers: list[AnswerObserver] = [self._log] if config.log.share else []
        return WatchedAnswering(answering, observers) if observers else answering

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._log.run())
