"""The question log: what was answered, for analytics and question sets. Off until `quality.log.share` is set."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from deployments.telemetry.metrics.quality import LOGGED_QUESTIONS
from models.documents.personal_data.masking import mask
from models.errors.configuration import ConfigError
from serve.pipelines.wakeup import Wakeup
from serve.quality.config import QuestionLogConfig
from serve.quality.log_files import LogFiles, Row
from serve.quality.watched_answering import WatchedAnswer

MAX_ROWS = 10_000  # that wait; beyond them the oldest are dropped
RETENTION_PAUSE_S = 3600.0
logger = logging.getLogger(__name__)


class QuestionLog:
    """Gathers rows of answers, and writes them to a file every few seconds."""

    def __init__(self, config: QuestionLogConfig, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """`folder` is used if the config names no other place. `clock` gives Unix seconds."""
        self._config, self._folder, self._clock = config, folder, clock
        self._rows: deque[Row] = deque()
        self._wakeup = Wakeup()
        self._swept_at = 0.0

    def configure(self, config: QuestionLogConfig) -> None:
        """Takes effect at once. What has been gathered is written by the new settings."""
        self._config = config
        self._wakeup.set()

    def observe(self, answer: WatchedAnswer) -> None:
        """As AnswerObserver."""
        if random.random() >= self._config.share:
            return
        if len(self._rows) >= MAX_ROWS:
            self._rows.popleft()
            LOGGED_QUESTIONS.labels("dropped").inc()
        self._rows.append(to_row(answer))

    async def run(self) -> None:
        """Runs until cancelled; then what has been gathered is written."""
        try:
            while True:
                await self._wakeup.wait(self._config.flush_s)
                await asyncio.to_thread(self.flush)
        finally:
            await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Write the gathered rows, and delete old files. A failure is logged, and tried again with the next flush."""
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        if not rows and (not self._config.share or abs(self._clock() - self._swept_at) < RETENTION_PAUSE_S):
            return
        try:
            files = LogFiles(self._config.url or str(self._folder))
            files.write([self._masked(row) for row in rows])
            self._sweep(files)
        except (OSError, ConfigError) as error:
            logger.warning("the question log cannot be written, and is tried again: %s", error)
            self._rows.extendleft(reversed(rows))
            return
        LOGGED_QUESTIONS.labels("written").inc(len(rows))

    def _masked(self, row: Row) -> Row:
        texts = {name: mask(row[name], self._config.mask).text for name in ("question", "search_query", "answer")}
        return row | texts | ({} if self._config.answers else {"answer": None})

    def _sweep(self, files: LogFiles) -> None:
        now = self._clock()
        if abs(now - self._swept_at) >= RETENTION_PAUSE_S:
            files.delete_older(self._config.keep_s, datetime.fromtimestamp(now, UTC))
            self._swept_at = now


def to_row(answer: WatchedAnswer) -> Row:
    """The columns of log_files.schema, not yet masked. What is remembered, or comes with a request, is in no file."""
    query, answered = answer.query, answer.answered
    trace = answered.trace
    stored = [passage for passage in answered.passages if passage.is_from_file]
    cited = [citation.passage for citation in answered.citations if citation.passage.is_from_file]
    return {
        "at": datetime.fromtimestamp(answer.at_s, UTC),
        "request_id": answer.request_id,
        "tenant": answer.tenant,
        "question": query.text,
        "search_query": answered.search_query,
        "answer": answered.text,
        "vector_store_ids": list(query.scope.vector_store_ids),
        "file_ids": list(dict.fromkeys(passage.file_id for passage in stored)),
        "chunk_ids": [passage.chunk_id for passage in stored],
        "cited_file_ids": list(dict.fromkeys(passage.file_id for passage in cited)),
        "degraded": list(trace.degraded),
        "cached": list(trace.cached),
        "evidence": answered.evidence,
        "answerable": answered.answerable,
        "finish_reason": answered.finish_reason,
        "models": dict(trace.models),
        "timings_s": dict(trace.timings_s),
        "prompt_tokens": answered.num_prompt_tokens,
        "completion_tokens": answered.num_completion_tokens,
    }
