"""The stages of one query, as the service timed them."""


def stage_times(timings: dict[str, float]) -> dict[str, float]:
    """Seconds by stage of a query's `timings`, with `retrieval`: the time before its answer is generated."""
    if "total" not in timings or "generate" not in timings:
        return timings
    return timings | {"retrieval": timings["total"] - timings["generate"]}
