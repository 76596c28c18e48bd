"""Queries a second and latency of replicas that batch. Every formula is here, and checked against simulate.py.

A replica works on one batch at a time; what arrives meanwhile is the next one, up to the limit. Nobody waits for
company. That is how token_batcher.py and the searchers do it.
"""

import math
from dataclasses import dataclass

from serve.cli.capacity.profile import BatchTimes

# The 95th percentile above the mean: 2.0 of an exponential, 1.645 of a normal distribution. A path's delays are few and
# lean to the right, and what is promised should be kept.
P95_DEVIATIONS = 2.0
ROUNDS = 60
FULL = 0.999
MIN_LOAD = 1e-3


@dataclass(frozen=True)
class Delay:
    """Time in a stage: its mean in seconds, and its variance."""

    mean_s: float
    variance: float

    def __add__(self, other: "Delay") -> "Delay":
        """One after the other, taken for independent."""
        return Delay(self.mean_s + other.mean_s, self.variance + other.variance)

    @property
    def p95_s(self) -> float:
        """The 95th percentile, from the mean and the variance alone."""
        return self.mean_s + P95_DEVIATIONS * math.sqrt(self.variance)

    def slower(self, other: "Delay") -> "Delay":
        """Of two at once, the one that is waited for."""
        return self if self.p95_s >= other.p95_s else other


NO_DELAY = Delay(0.0, 0.0)


@dataclass(frozen=True)
class Working:
    """A replica at a rate of arrivals: items of a batch in the mean, the share of time that it computes, the delay."""

    batch: float
    busy: float
    delay: Delay


def working(times: BatchTimes, rate: float, max_batch: int, replicas: int = 1, core_wait: Delay = NO_DELAY) -> Working:
    """One of `replicas` replicas, to each of which `rate` queries a second come, at random (Poisson).

    `core_wait`: of a batch, until a core of the node is free. A rate that the replicas cannot bear gives an infinite
    delay.
    """
    load = rate / times.per_s(max_batch)
    if load >= FULL:
        return Working(max_batch, 1.0, Delay(math.inf, 0.0))
    if times.is_continuous:
        return _continuous(times, rate, max_batch, load, replicas)
    batch = natural_batch(times, rate, max_batch, core_wait.mean_s)
    busy = min(1.0, rate * (times.seconds(batch) + core_wait.mean_s) / batch)
    gather, service = _gather(times, rate, max_batch, replicas, core_wait), _service(times, rate, max_batch, core_wait)
    computes = min(1.0, rate * times.seconds(batch) / batch)
    return Working(batch, computes, gather + service + core_wait + _overflow(times, max_batch, load, busy, replicas))


def natural_batch(times: BatchTimes, rate: float, max_batch: int, wait_s: float = 0.0) -> float:
    """Mean items of a batch: as many as arrive during one, or the one that ends an idle time.

    With x = rate x seconds(n) arrivals during a batch, the next has x of them, and a batch of one follows if there
    were none, with probability e^-x: n = x + e^-x, solved by iteration.
    """
    batch = 1.0
    for _ in range(ROUNDS):
        arrivals = rate * (times.seconds(batch) + wait_s)
        batch = min(float(max_batch), arrivals + math.exp(-arrivals))
    return max(1.0, batch)


def _seen_batch(arrivals: float, max_batch: int) -> float:
    """Items of the batch that an item is in: large batches have more of them, so it is E[n^2] / E[n]."""
    none = math.exp(-arrivals)
    return max(1.0, min(float(max_batch), (arrivals + arrivals**2 + none) / (arrivals + none)))


def _service(times: BatchTimes, rate: float, max_batch: int, core_wait: Delay) -> Delay:
    batch = natural_batch(times, rate, max_batch, core_wait.mean_s)
    arrivals = min(rate * (times.seconds(batch) + core_wait.mean_s), max_batch)
    spread = 0.0 if batch >= max_batch else times.per_item_s**2 * arrivals * (1 - math.exp(-arrivals))
    return Delay(times.seconds(_seen_batch(arrivals, max_batch)), spread)


def _gather(times: BatchTimes, rate: float, max_batch: int, replicas: int, core_wait: Delay) -> Delay:
    """Until the batch under way is done: uniform in its time, for who comes while one is.

    Of several replicas Serve's router asks two and takes the one with less to do, so both must be busy.
    """
    batch = natural_batch(times, rate, max_batch, core_wait.mean_s)
    took = times.seconds(batch) + core_wait.mean_s
    waits = min(1.0, rate * took / batch) ** (1 if replicas == 1 else 2)
    return Delay(waits * took / 2, waits * took**2 / 3 - (waits * took / 2) ** 2)


def _overflow(times: BatchTimes, max_batch: int, load: float, busy: float, replicas: int) -> Delay:
    """For what the next batch has no room for: load^2 seconds(B) / (2 B (1 - load)) in the mean.

    With B = 1 that and the time until the batch under way is done are the M/D/1 queue's wait (Pollaczek and
    Khinchine); for B > 1 it is the heavy-traffic limit of a queue that is served B at a time. Taken for exponential
    where there is any, with probability load^2, which gives that queue's variance, too, within 3 % at a load of 0.8.
    """
    mean = load * busy * times.seconds(max_batch) / (2 * max_batch * (1 - load))
    if replicas > 1:
        mean *= two_choices(load)
    return Delay(mean, mean**2 * (2 / max(load, MIN_LOAD) ** 2 - 1))


def two_choices(load: float) -> float:
    """The wait in queues of which the shorter of two is chosen, over that in queues chosen at random.

    Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, IEEE TPDS 2001: the mean time in the
    system is the sum of load^(2^i - 2), i from 1, where it is 1 / (1 - load) at random.
    """
    if load <= 0:
        return 0.0
    return sum(load ** (2**i - 2) for i in range(2, 12)) / (load / (1 - load))


def _continuous(times: BatchTimes, rate: float, max_batch: int, load: float, replicas: int) -> Working:
    """A request lives F + P n among n = rate x life requests (Little), so its life is F / (1 - rate P)."""
    life = times.fixed_s / (1 - rate * times.per_item_s)
    among = min(float(max_batch), max(1.0, rate * life))
    wait = queue_for_servers(load, max_batch) * times.seconds(max_batch) / 2
    if replicas > 1:
        wait *= two_choices(load)
    life = times.seconds(among)
    # How many there are varies as arrivals do. Of two choices none gets much more than its share.
    spread = among if replicas == 1 else among / replicas + 1
    return Working(among, min(1.0, rate * life), Delay(life + wait, times.per_item_s**2 * spread + wait**2))


def queue_for_servers(load: float, servers: float) -> float:
    """The wait for one of several servers, in mean times of service, if those vary as an exponential does.

    Half of it if they do not vary. Source: Sakasegawa, An Approximation Formula Lq = a rho^b / (1 - rho), 1977.
    """
    return float(load ** (math.sqrt(2 * (servers + 1)) - 1) / (servers * (1 - load)))


def core_wait(used: float, cores: float, took_s: float) -> Delay:
    """Until a core is free, on nodes of which the share `used` of the cores computes, `took_s` at a time."""
    if used >= FULL:
        return Delay(math.inf, 0.0)
    mean = queue_for_servers(used, cores) * took_s / 2
    return Delay(mean, mean**2)
