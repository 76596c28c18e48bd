"""Files on their way into the index."""

from deployments.telemetry.buffered_metrics import Counter, Gauge

INGESTED_FILES = Counter("ragserve_ingested_files_total", "Files whose ingestion ended, by status.", ["status"])
INGESTED_CHUNKS = Counter("ragserve_ingested_chunks_total", "Chunks that became searchable.")
INGESTIONS_RUNNING = Gauge(
    "ragserve_ingestions_running", "Files that this ingress replica is ingesting.", multiprocess_mode="livesum"
)
INGESTION_OLDEST_SECONDS = Gauge(
    "ragserve_ingestion_oldest_seconds",
    "Age of the oldest file that this ingress replica is ingesting, by state: parsing or embedding.",
    ["state"],
    multiprocess_mode="livemax",
)
INGESTION_RETRIES = Counter(
    "ragserve_ingestion_retries_total", "Attempts that failed and are repeated, by the error's code.", ["reason"]
)
INGESTION_BACKLOG = Gauge(
    "ragserve_ingestion_backlog_files",
    "Files of all tenants that wait for ingestion or are in it; counted with each clean-up.",
    multiprocess_mode="livemostrecent",
)
INGESTION_BACKLOG_SECONDS = Gauge(
    "ragserve_ingestion_backlog_oldest_seconds",
    "Time since the oldest of these files was due; counted with each clean-up.",
    multiprocess_mode="livemostrecent",
)
DEAD_LETTERS = Gauge(
    "ragserve_dead_letters",
    "Files of all tenants whose ingestion failed for good, by reason; counted with each clean-up.",
    ["reason"],
    multiprocess_mode="livemostrecent",
)
