"""Events by webhook: a signed POST of JSON, as in Standard Webhooks."""

import time
from collections.abc import Callable

import httpx

from models.corpus.outbox import Event, EventOrder
from serve.events.body import body_of
from serve.events.config import WebhookConfig
from serve.events.signature import read_secrets, sign
from serve.events.sink import DeliveryError

MAX_ANSWER_BYTES = 4096  # read, so that the connection can be used again. A longer answer closes it


class WebhookSink:
    """Posts each event to the configured address, and nowhere else: it follows no redirect and uses no proxy."""

    name = "webhook"
    order: EventOrder = "document"

    def __init__(self, config: WebhookConfig, timeout_s: float, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix seconds. Raises ConfigError without a valid secret."""
        self._url, self._keys = config.url, read_secrets(config.secret)
        self._timeout_s, self._clock = timeout_s, clock
        self._client: httpx.AsyncClient | None = None

    async def send(self, event: Event) -> None:
        """Return when the receiver has answered 2xx. Raises DeliveryError."""
        body = body_of(event)
        timestamp_s = int(self._clock())
        headers = {
            "content-type": "application/json",
            "user-agent": "ragserve",
            "webhook-id": event.event_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign(self._keys, event.event_id, timestamp_s, body),
        }
        status = await self._post(body, headers)
        if not 200 <= status < 300:
            raise DeliveryError("refused", f"the receiver answered with status {status}")

    async def _post(self, body: bytes, headers: dict[str, str]) -> int:
        try:
            async with self._opened().stream("POST", self._url, content=body, headers=headers) as response:
                num_bytes = 0
                async for piece in response.aiter_raw():
                    num_bytes += len(piece)
                    if num_bytes > MAX_ANSWER_BYTES:
                        break
                return response.status_code
        except httpx.TimeoutException as error:
            raise DeliveryError("timeout", f"no answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryError("unreachable", f"the receiver cannot be reached: {type(error).__name__}") from error

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._timeout_s, trust_env=False, follow_redirects=False)
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
