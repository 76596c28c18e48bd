-- Add each job's place in the queue. The jobs of earlier releases are claimed first, in their order.

ALTER TABLE jobs ADD COLUMN is_large BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE jobs ADD COLUMN due_at FLOAT NOT NULL DEFAULT 0;
CREATE INDEX jobs_by_turn ON jobs (tenant, vector_store_id, is_large, due_at, lease_expires_at);
