"""The trace of a request, as W3C writes it: https://www.w3.org/TR/trace-context/"""

import re

# Version, trace id, parent id, flags; an id of zeros and version ff are invalid.
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def trace_context_of(traceparent: str) -> str:
    """The header's value if it is valid; otherwise an empty string, and the request has no trace of its caller."""
    return traceparent if TRACEPARENT.fullmatch(traceparent) else ""


def unrecorded(traceparent: str) -> str:
    """The same place in the trace, with a flag that says that this service records nothing of it."""
    return f"{traceparent[:-2]}00" if traceparent else ""
