-- Add the costs of months. They begin with 0.

CREATE TABLE monthly_costs (
    month TEXT NOT NULL,
    tenant TEXT NOT NULL,
    cost FLOAT NOT NULL,
    PRIMARY KEY (month, tenant)
);
