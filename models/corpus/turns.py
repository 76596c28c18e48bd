"""Whose file is next: tenants in turn, and the vector stores of a tenant in turn."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import ceil

Queue = tuple[str, str]  # (tenant, vector_store_id): the waiting files of one vector store


@dataclass
class Lane:
    """The places of one worker for small files, for large files, or for both, and whose turn it is.

    Files of one lane never take the places of the other: a small file does not wait for large ones, and a stream of
    small files does not keep a large one waiting. `is_large` None takes both sizes. A tenant gets at most
    `max_tenant_share` of the places: the others are free for another tenant, however slow the files of this one are.
    Belongs to one worker.
    """

    is_large: bool | None = None
    max_tenant_share: float = 1.0
    _turns: dict[str | Queue, int] = field(default_factory=dict)  # the number of the last turn of a tenant or queue
    _num_turns: int = 0

    def share(self, queues: Collection[Queue], working: Mapping[Queue, int], num_free: int) -> Counter[Queue]:
        """Give each free place to a queue, and return the number of places for each.

        A place goes to the tenant with the fewest files in work, then to its store with the fewest; among equals to
        the one whose turn was longest ago. `working` counts the files in work by queue.
        """
        in_work: Counter[str | Queue] = Counter()
        for queue, count in working.items():
            in_work.update({queue: count, queue[0]: count})
        most = ceil(self.max_tenant_share * (num_free + sum(working.values())))
        stores: dict[str, list[Queue]] = {}
        for queue in sorted(queues):
            stores.setdefault(queue[0], []).append(queue)
        places: Counter[Queue] = Counter()
        for _ in range(num_free):
            tenants = [tenant for tenant in stores if in_work[tenant] < most]
            if not tenants:
                break
            tenant = min(tenants, key=lambda tenant: (in_work[tenant], self._turns.get(tenant, 0)))
            queue = min(stores[tenant], key=lambda queue: (in_work[queue], self._turns.get(queue, 0)))
            in_work.update((tenant, queue))
            places[queue] += 1
            self._num_turns += 1
            self._turns[tenant] = self._turns[queue] = self._num_turns
        return places

    def forget_all_but(self, queues: Collection[Queue]) -> None:
        """Drop the turns of queues that are empty. A queue that fills again is served first."""
        names: set[str | Queue] = {name for queue in queues for name in (queue, queue[0])}
        self._turns = {name: turn for name, turn in self._turns.items() if name in names}
