"""A stage in a Ray Serve deployment of its own."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments.calls.replica_counts import num_replicas


class RayHandle:
    """Satisfies Handle. The only caller of Ray's handles. It raises Ray's errors; StageClient translates them."""

    is_inline = False

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle
        self._streaming = handle.options(stream=True)
        self._methods: dict[str, Any] = {}  # Ray makes a new handle at every access to a method

    @property
    def num_replicas(self) -> int:
        return num_replicas(self._handle.deployment_name)

    def call(self, method: str, *args: object) -> Awaitable[Any]:
        if method not in self._methods:
            self._methods[method] = getattr(self._handle, method)
        return self._methods[method].remote(*args)

    def stream(self, method: str, *args: object) -> AsyncIterator[Any]:
        return getattr(self._streaming, method).remote(*args)

    def cancel(self, response: Any) -> None:
        response.cancel()
