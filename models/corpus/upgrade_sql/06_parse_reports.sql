-- Add what the parser reported of a file, and where its chunks stand in it. Unknown until it is ingested again.

ALTER TABLE store_files ADD COLUMN parse_report JSON;
ALTER TABLE chunks ADD COLUMN source_map TEXT;
