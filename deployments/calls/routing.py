"""Choose a replica for a message: of two at random, the one with fewer unanswered messages of this process.

Serve's own router compares the queue lengths that replicas report. In throughput mode a replica reports, with
its answer, the length at the time when it took the message. With a second of work in the queues, that length is a
second old: every process sends all its messages to the replica that was free then, and the other replica is idle. This
router counts its own messages instead.
"""

import random
from typing import Any

from ray.serve.config import RequestRouterConfig
from ray.serve.request_router import FIFOMixin, PendingRequest, ReplicaID, RequestRouter, RunningReplica

from deployments.calls.replica_counts import note_replicas


class FewestUnanswered(FIFOMixin, RequestRouter):
    """Power of two choices by the unanswered messages of this process. Raises nothing.

    Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, IEEE TPDS 2001.
    """

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """One rank of two replicas; RequestRouter takes the one with the shorter queue."""
        if len(candidate_replicas) < 2:
            return [candidate_replicas]
        return [random.sample(candidate_replicas, 2)]

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Serve calls this whenever replicas come or go."""
        note_replicas(self._deployment_id.name, len(replicas))
        super().update_replicas(replicas)

    def on_new_queue_len_info(self, replica_id: ReplicaID, num_ongoing_requests: int) -> None:
        """Ignore the queue length in an answer, which is old; a refusal carries the current one.

        RequestRouter itself adds each message that it sends, and subtracts each that has ended.
        """
        replica = self.curr_replicas.get(replica_id)
        if replica is None or num_ongoing_requests >= replica.max_ongoing_requests:
            super().on_new_queue_len_info(replica_id, num_ongoing_requests)


# By a dict, as Ray declares the type of its keyword arguments wrongly.
_OPTIONS: dict[str, Any] = {"request_router_class": FewestUnanswered}
ROUTING = RequestRouterConfig(**_OPTIONS)
