-- Add chunking strategies, and what a search shows in place of a chunk. Earlier sizes are of `static`.

ALTER TABLE store_files ADD COLUMN chunking_strategy TEXT;
ALTER TABLE store_files ADD COLUMN chunking_parameters JSON;
ALTER TABLE vector_stores ADD COLUMN chunking JSON;
ALTER TABLE chunks ADD COLUMN shown_start BIGINT;
ALTER TABLE chunks ADD COLUMN shown_end BIGINT;
