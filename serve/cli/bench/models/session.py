"""What the groups of `ragserve bench models` share: the plan, the texts, and the servers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from serve.cli.bench.models.offline import Job, Offline, offline
from serve.cli.bench.models.rows import ModelsPlan
from serve.cli.driver.closed_loop import LoadResult
from serve.cli.driver.peers.environments import ServerStartError, environment_of
from serve.cli.driver.random_models import encoder_folder
from serve.cli.driver.servers import Launch, Server, ragserve_with, running
from serve.cli.driver.turns import Contender, Target, run_interleaved
from serve.cli.driver.workload import Words, write_bodies


@dataclass(frozen=True)
class Session:
    """One run. `missing` collects the peers that could not be started, with the reason."""

    plan: ModelsPlan
    folder: Path
    report: Callable[[str], None]
    encoder: Path
    words: Words
    missing: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(plan: ModelsPlan, folder: Path, report: Callable[[str], None]) -> "Session":
        """Raises ModelLoadError if the encoder's weights are not on this machine."""
        encoder = encoder_folder()
        return Session(plan, folder, report, encoder, Words(encoder))

    def start(self, stack: ExitStack, launch: Launch) -> Server:
        """The server, ready, until the stack ends. Raises ServerStartError."""
        self.report(f"starting {launch.name}")
        return stack.enter_context(running(launch, self.folder, self.plan.threads))

    def start_ragserve(self, stack: ExitStack, models: dict[str, str], catalog: Path | None = None) -> Server:
        """Ours, with these models: a deployment's name to an alias of the catalog."""
        has_gpu = self.plan.device == "cuda"
        return self.start(stack, ragserve_with(self.plan.config, self.folder, models, catalog, has_gpu))

    def start_peer(self, stack: ExitStack, name: str, launch: Callable[[], Launch]) -> Server | None:
        """The peer's server; None, with the reason in `missing`, if it cannot be started."""
        try:
            return self.start(stack, launch())
        except ServerStartError as error:
            self.missing[name] = str(error)
            self.report(str(error))
            return None

    def programs_of(self, peer: str) -> Path:
        """The folder of an installed peer's programs. Raises ServerStartError."""
        return environment_of(peer, self.plan.peers, self.plan.may_install)

    def offline(self, job: Job) -> AbstractContextManager[Offline]:
        """The model of the job in a process of its own."""
        return offline(job, self.plan.threads)

    def compare(self, contenders: Sequence[Contender]) -> dict[str, LoadResult]:
        return run_interleaved(contenders, self.plan.turn_s, self.plan.num_turns)

    def write(self, name: str, bodies: list[dict[str, object]]) -> Path:
        return write_bodies(self.folder / f"{name}.jsonl", bodies)


def called_offline(name: str, process: Offline, workload: str, target: Target) -> Contender:
    """The model called offline, without HTTP; its note is the fastest way to call it."""
    ways: list[str] = []

    def turn(seconds: float) -> LoadResult:
        measured = process.turn(workload, seconds)
        ways[:] = [measured.how]
        return LoadResult(measured.per_s, 0, 0, 0.0, 0.0, 0.0)

    return Contender(name, turn, target, lambda: "".join(ways))
