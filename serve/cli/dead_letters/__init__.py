"""`ragserve dead-letters` and `ragserve replay`: files whose ingestion failed for good."""
