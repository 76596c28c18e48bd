"""Makes a backup whenever one is due. A failure is counted and logged, and stops nothing."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable

from deployments.replica.storage import StorageConfig
from deployments.telemetry.metrics.backups import BACKUP_DUE, BACKUP_NEWEST, BACKUP_SECONDS, BACKUPS
from serve.backups.child import BackupReport, BackupRequest
from serve.backups.config import BackupsConfig

RETRY_S = 300.0
ERROR_CHARS = 500  # of the child's last words, in the log
logger = logging.getLogger(__name__)


class BackupSchedule:
    """Every ingress replica has one. The place of the backups lets one of them work at a time."""

    def __init__(self, config: BackupsConfig, storage: StorageConfig, clock: Callable[[], float] = time.time) -> None:
        self._config, self._storage, self._clock = config, storage, clock
        self._has_failed = False

    def problems(self) -> list[str]:
        """What an operator must repair, without the reason: it may have a path or an address."""
        return ["backups: the last one failed; the log says why"] if self._has_failed else []

    async def run(self) -> None:
        """Runs until cancelled. The backup that is being made then is given up: its place has no part of it."""
        if self._config.every_s is None:
            await asyncio.Event().wait()
        BACKUP_DUE.set(self._clock())
        while True:
            report = await self.back_up()
            await asyncio.sleep(self._pause_s(report))

    async def back_up(self) -> BackupReport:
        """One round: a backup, if one is due."""
        report = await self._report()
        BACKUPS.labels(report.outcome).inc()
        if report.newest is not None:
            BACKUP_NEWEST.set(report.newest)
            BACKUP_DUE.set(report.newest + (self._config.every_s or 0.0))
        if report.outcome == "made":
            BACKUP_SECONDS.set(report.seconds)
        if report.outcome != "busy":
            self._has_failed = report.outcome == "failed"
        if report.outcome == "failed":
            logger.error("the scheduled backup failed and is tried again in %g s: %s", self._retry_s, report.error)
        return report

    @property
    def _retry_s(self) -> float:
        return min(self._config.every_s or RETRY_S, RETRY_S)

    def _pause_s(self, report: BackupReport) -> float:
        every_s = self._config.every_s or RETRY_S
        if report.newest is None:
            return self._retry_s
        # Other replicas may have made it, so the interval begins with the newest one.
        return min(max(report.newest + every_s - self._clock(), 1.0), every_s)

    async def _report(self) -> BackupReport:
        request = BackupRequest(
            database_url=self._storage.url,
            database=self._storage.database,
            blob_root=str(self._storage.blob_root),
            config=self._config,
        )
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "serve.backups.child")
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except OSError as error:
            return BackupReport(outcome="failed", error=f"no process starts: {error.strerror}")
        try:
            async with asyncio.timeout(self._config.max_s):
                output, errors = await process.communicate(request.model_dump_json().encode())
        except TimeoutError:
            return BackupReport(outcome="failed", error=f"it took more than {self._config.max_s:g} s")
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode != 0:
            return BackupReport(outcome="failed", error=_ending(process.returncode, errors))
        return BackupReport.model_validate_json(output.splitlines()[-1])


def _ending(return_code: int | None, errors: bytes) -> str:
    """Why the process has ended, in words."""
    if return_code is not None and return_code < 0:
        return f"its process was killed by {signal.Signals(-return_code).name}"
    return f"its process ended with {return_code}: {errors.decode(errors='replace').strip()[-ERROR_CHARS:]}"
