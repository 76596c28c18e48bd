"""Scheduled backups."""

from deployments.telemetry.buffered_metrics import Counter, Gauge

BACKUPS = Counter(
    "ragserve_backups_total",
    "Rounds of the scheduled backup; outcome is made, not_due, busy (another process makes one) or failed.",
    ["outcome"],
)
BACKUP_NEWEST = Gauge(
    "ragserve_backup_newest_timestamp_seconds",
    "Unix time at which the newest backup began: what was written later would be lost.",
    multiprocess_mode="livemax",
)
BACKUP_DUE = Gauge(
    "ragserve_backup_due_timestamp_seconds",
    "Unix time at which the next scheduled backup is due.",
    multiprocess_mode="livemax",
)
BACKUP_SECONDS = Gauge(
    "ragserve_backup_seconds", "Time that the last scheduled backup took.", multiprocess_mode="livemostrecent"
)
