-- Add the table of leases. They were rows of view_positions, named after the view with " lease" appended.
--
-- The old rows are deleted. A replica that has such a lease cannot renew it; its page is then applied again.

CREATE TABLE leases (
    resource TEXT NOT NULL,
    owner TEXT NOT NULL,
    expires_at FLOAT NOT NULL,
    PRIMARY KEY (resource)
);
DELETE FROM view_positions WHERE view LIKE '% lease';
