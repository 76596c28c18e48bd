-- Add enrichment of files, masked texts and sketches. Stores of earlier releases ask for none.

ALTER TABLE vector_stores ADD COLUMN enrichment JSON;
ALTER TABLE vector_stores ADD COLUMN masked_kinds JSON;
ALTER TABLE store_files ADD COLUMN derived JSON;
ALTER TABLE store_files ADD COLUMN sketch {blob};
CREATE TABLE masked_texts (
    tenant TEXT NOT NULL,
    vector_store_id TEXT NOT NULL,
    file_id TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (tenant, vector_store_id, file_id),
    FOREIGN KEY (tenant, vector_store_id, file_id)
        REFERENCES store_files (tenant, vector_store_id, file_id) ON DELETE CASCADE
);
CREATE INDEX masked_texts_by_file ON masked_texts (tenant, file_id);
CREATE TABLE sketch_bands (
    tenant TEXT NOT NULL,
    vector_store_id TEXT NOT NULL,
    band BIGINT NOT NULL,
    file_id TEXT NOT NULL,
    PRIMARY KEY (tenant, vector_store_id, band, file_id),
    FOREIGN KEY (tenant, vector_store_id, file_id)
        REFERENCES store_files (tenant, vector_store_id, file_id) ON DELETE CASCADE
);
CREATE INDEX sketch_bands_by_file ON sketch_bands (tenant, vector_store_id, file_id);
