"""Throughput and latency of replicas that batch. All formulas are here; tests check them against simulate.py.

A replica computes one batch at a time. Requests that arrive meanwhile form the next batch, up to the limit. A batch
never waits to fill. This is how token_batcher.py and the searchers work.
"""

import math
from dataclasses import dataclass

from serve.cli.capacity.profile import BatchTimes

# Standard deviations from the mean to the 95th percentile: 2.0 for an exponential distribution, 1.645 for a normal one.
# A path adds few delays, skewed to the right, so the larger factor is the safe one.
P95_DEVIATIONS = 2.0
ROUNDS = 60
FULL = 0.999
MIN_LOAD = 1e-3


@dataclass(frozen=True)
class Delay:
    """Time in a stage: mean in seconds, and variance."""

    mean_s: float
    variance: float

    def __add__(self, other: "Delay") -> "Delay":
        """One delay after the other, assumed independent."""
        return Delay(self.mean_s + other.mean_s, self.variance + other.variance)

    @property
    def p95_s(self) -> float:
        """The 95th percentile, estimated from mean and variance."""
        return self.mean_s + P95_DEVIATIONS * math.sqrt(self.variance)

    def slower(self, other: "Delay") -> "Delay":
        """The longer of two parallel delays, by 95th percentile."""
        return self if self.p95_s >= other.p95_s else other


NO_DELAY = Delay(0.0, 0.0)


@dataclass(frozen=True)
class OperatingPoint:
    """A replica at an arrival rate: mean batch, fraction of time spent computing, delay."""

    batch: float
    busy: float
    delay: Delay


def operating_point(
    times: BatchTimes, rate: float, max_batch: int, replicas: int = 1, core_wait: Delay = NO_DELAY
) -> OperatingPoint:
    """State of one of `replicas` replicas. `rate`: Poisson arrivals per second at each replica.

    `core_wait`: time until a core of the node is free for a batch. The delay is infinite if the rate is too high.
    """
    load = rate / times.per_s(max_batch)
    if load >= FULL:
        return OperatingPoint(max_batch, 1.0, Delay(math.inf, 0.0))
    if times.is_continuous:
        return _continuous(times, rate, max_batch, load, replicas)
    batch = natural_batch(times, rate, max_batch, core_wait.mean_s)
    occupied = min(1.0, rate * (times.seconds(batch) + core_wait.mean_s) / batch)
    computing = min(1.0, rate * times.seconds(batch) / batch)
    delay = (
        _residual(times, rate, max_batch, replicas, core_wait)
        + _service(times, rate, max_batch, core_wait)
        + core_wait
        + _overflow(times, max_batch, load, occupied, replicas)
    )
    return OperatingPoint(batch, computing, delay)


def counting_round(
    times: BatchTimes, rate: float, max_batch: int, replicas: int, hop_s: float, core_wait: Delay = NO_DELAY
) -> Delay:
    """Delay of the round in which the shards of the keyword search count words: it waits for the running batch."""
    waiting = _residual(times, rate, max_batch, replicas, core_wait)
    return waiting + core_wait + Delay(hop_s + times.fixed_s, 0.0)


def natural_batch(times: BatchTimes, rate: float, max_batch: int, wait_s: float = 0.0) -> float:
    """Mean batch: the arrivals during one batch, or 1 after an idle time.

    With x = rate x seconds(n) arrivals during a batch, the next batch has x items. If there were none, with
    probability e^-x, the next batch has one item: n = x + e^-x, solved by iteration.
    """
    batch = 1.0
    for _ in range(ROUNDS):
        arrivals = rate * (times.seconds(batch) + wait_s)
        batch = min(float(max_batch), arrivals + math.exp(-arrivals))
    return max(1.0, batch)


def _size_biased_batch(arrivals: float, max_batch: int) -> float:
    """Mean size of the batch of a random item, E[n^2] / E[n]: larger batches hold more of the items."""
    none = math.exp(-arrivals)
    return max(1.0, min(float(max_batch), (arrivals + arrivals**2 + none) / (arrivals + none)))


def _service(times: BatchTimes, rate: float, max_batch: int, core_wait: Delay) -> Delay:
    """Time in the item's own batch."""
    batch = natural_batch(times, rate, max_batch, core_wait.mean_s)
    arrivals = min(rate * (times.seconds(batch) + core_wait.mean_s), max_batch)
    variance = 0.0 if batch >= max_batch else times.per_item_s**2 * arrivals * (1 - math.exp(-arrivals))
    return Delay(times.seconds(_size_biased_batch(arrivals, max_batch)), variance)


def _residual(times: BatchTimes, rate: float, max_batch: int, replicas: int, core_wait: Delay) -> Delay:
    """Time until the running batch ends: uniform over its duration, if a batch is running on arrival.

    Serve's router samples two replicas and takes the less loaded one, so both must be busy.
    """
    batch = natural_batch(times, rate, max_batch, core_wait.mean_s)
    duration = times.seconds(batch) + core_wait.mean_s
    probability = min(1.0, rate * duration / batch) ** (1 if replicas == 1 else 2)
    mean = probability * duration / 2
    return Delay(mean, probability * duration**2 / 3 - mean**2)


def _overflow(times: BatchTimes, max_batch: int, load: float, busy: float, replicas: int) -> Delay:
    """Wait of items that do not fit into the next batch: load^2 seconds(B) / (2 B (1 - load)) on average.

    For B = 1, this and the residual time are the wait of the M/D/1 queue (Pollaczek-Khinchine). For B > 1 it is the
    heavy-traffic limit of a queue with bulk service of B. The wait is taken as exponential with probability load^2,
    which also gives that queue's variance, within 3 % at a load of 0.8.
    """
    mean = load * busy * times.seconds(max_batch) / (2 * max_batch * (1 - load))
    if replicas > 1:
        mean *= two_choices(load)
    return Delay(mean, mean**2 * (2 / max(load, MIN_LOAD) ** 2 - 1))


def two_choices(load: float) -> float:
    """Wait when joining the shorter of two random queues, relative to joining one random queue.

    Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, IEEE TPDS 2001: the mean time in the
    system is the sum of load^(2^i - 2) for i >= 1, compared with 1 / (1 - load) for one random queue.
    """
    if load <= 0:
        return 0.0
    return sum(load ** (2**i - 2) for i in range(2, 12)) / (load / (1 - load))


def _continuous(times: BatchTimes, rate: float, max_batch: int, load: float, replicas: int) -> OperatingPoint:
    """A request lives F + P n among n = rate x life requests (Little), so its life is F / (1 - rate P)."""
    life_s = times.fixed_s / (1 - rate * times.per_item_s)
    concurrent = min(float(max_batch), max(1.0, rate * life_s))
    wait_s = queue_for_servers(load, max_batch) * times.seconds(max_batch) / 2
    if replicas > 1:
        wait_s *= two_choices(load)
    life_s = times.seconds(concurrent)
    # The number of concurrent requests varies as Poisson arrivals do. With two choices, replicas stay near the mean.
    variance = concurrent if replicas == 1 else concurrent / replicas + 1
    delay = Delay(life_s + wait_s, times.per_item_s**2 * variance + wait_s**2)
    return OperatingPoint(concurrent, min(1.0, rate * life_s), delay)


def queue_for_servers(load: float, servers: float) -> float:
    """Wait for one of several servers, in mean service times, if service times are exponential.

    Half of it for constant service times. Source: Sakasegawa, An Approximation Formula Lq = a rho^b / (1 - rho), 1977.
    """
    return float(load ** (math.sqrt(2 * (servers + 1)) - 1) / (servers * (1 - load)))


def core_wait(used: float, cores: float, batch_s: float) -> Delay:
    """Wait for a free core. `used`: busy fraction of the nodes' cores; `batch_s`: how long a batch uses a core."""
    if used >= FULL:
        return Delay(math.inf, 0.0)
    mean = queue_for_servers(used, cores) * batch_s / 2
    return Delay(mean, mean**2)
