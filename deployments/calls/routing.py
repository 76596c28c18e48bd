"""Which replica a message goes to: of two at random, the one that owes this process fewer answers.

Serve's own router does the same by what replicas say of their queues. In throughput mode a replica says so with its
answer, and of the time when it took the message: with a second's work in the queues every process hears of a second
ago, sends all it has to the one replica that was free then, and leaves the other idle. Ours counts by itself.
"""

import random
from typing import Any

from ray.serve.config import RequestRouterConfig
from ray.serve.request_router import FIFOMixin, PendingRequest, ReplicaID, RequestRouter, RunningReplica


class FewestUnanswered(FIFOMixin, RequestRouter):
    """Power of two choices by messages under way from this process. Raises nothing.

    Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, IEEE TPDS 2001.
    """

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """One rank of two, the shorter queue of which is taken by RequestRouter."""
        if len(candidate_replicas) < 2:
            return [candidate_replicas]
        return [random.sample(candidate_replicas, 2)]

    def on_new_queue_len_info(self, replica_id: ReplicaID, num_ongoing_requests: int) -> None:
        """A replica that refuses says how it is now, one that has answered how it was: only the first counts.

        RequestRouter itself adds each message that it sends, and takes off each that has ended.
        """
        replica = self.curr_replicas.get(replica_id)
        if replica is None or num_ongoing_requests >= replica.max_ongoing_requests:
            super().on_new_queue_len_info(replica_id, num_ongoing_requests)


# By a dict, as Ray declares the type of its keyword arguments wrongly.
_OPTIONS: dict[str, Any] = {"request_router_class": FewestUnanswered}
ROUTING = RequestRouterConfig(**_OPTIONS)
