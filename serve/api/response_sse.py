"""An event of a streamed response, as it is sent."""

import json
from typing import Any

from sse_starlette import ServerSentEvent


def to_sse(body: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(body), event=body["type"])
