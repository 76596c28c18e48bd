"""Every metric name, once. Units are base units. docs/observability.md has a line for each.

Labels are bounded (routes, stages, outcomes, aliases of the catalog, the first tenants), never ids or queries.
"""

from deployments.telemetry.exposition import write_to_folder

write_to_folder()
