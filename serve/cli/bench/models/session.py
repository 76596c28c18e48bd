"""What the groups of `ragserve bench models` share: the plan, the texts, and a server under load."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.catalog import Catalog
from models.source import SourceConfig, fetch_folder
from serve.cli.bench.models.offline import Offline
from serve.cli.bench.models.rows import Contender, Plan, Target
from serve.cli.driver.closed_loop import Load, LoadResult, drive
from serve.cli.driver.peers.environments import PeerError
from serve.cli.driver.servers import HOST, Launch, Server, running
from serve.cli.driver.workload import Words, write_bodies

ENCODER = "minilm"  # the embedding model of every group


@dataclass
class Cursor:
    """Where the next turn begins in its bodies, so that nothing is sent twice; None: always at the first."""

    next: int | None = None


@dataclass(frozen=True)
class Session:
    """One run. `missing` gathers the peers that could not be started, and why."""

    plan: Plan
    folder: Path
    say: Callable[[str], None]
    encoder: Path
    words: Words
    missing: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(plan: Plan, folder: Path, say: Callable[[str], None]) -> "Session":
        """Raises ModelLoadError where the encoder's weights are not on this machine."""
        config = Catalog.open().config("embedding", ENCODER)
        assert isinstance(config, SourceConfig)
        encoder = fetch_folder(ENCODER, config, ["*"])
        return Session(plan, folder, say, encoder, Words(encoder))

    def start(self, stack: ExitStack, launch: Launch) -> Server:
        """The server, ready, until the stack ends. Raises PeerError."""
        self.say(f"starting {launch.name}")
        return stack.enter_context(running(launch, self.folder, self.plan.threads))

    def start_peer(self, stack: ExitStack, name: str, launch: Callable[[], Launch]) -> Server | None:
        """The peer's server; None, with the reason in `missing`, where it cannot be had."""
        try:
            return self.start(stack, launch())
        except PeerError as error:
            self.missing[name] = str(error)
            self.say(str(error))
            return None

    def write(self, name: str, bodies: list[dict[str, object]]) -> Path:
        return write_bodies(self.folder / f"{name}.jsonl", bodies)


def served(name: str, server: Server, load: Load, target: Target | None = None, note: str = "") -> Contender:
    """A server that takes its turns under `load`, of which host, port and seconds are filled in here."""
    cursor = Cursor(None if load.repeats else load.first)

    def turn(seconds: float) -> LoadResult:
        first = load.first if cursor.next is None else cursor.next
        result = drive(replace(load, host=HOST, port=server.port, seconds=seconds, first=first))
        if cursor.next is not None:
            cursor.next = first + result.requests + result.errors
        return result

    return Contender(name, turn, target, lambda: note)


def called_offline(name: str, process: Offline, workload: str, target: Target) -> Contender:
    """The model called offline, without HTTP."""
    ways: list[str] = []

    def turn(seconds: float) -> LoadResult:
        measured = process.turn(workload, seconds)
        ways[:] = [measured.how]
        return LoadResult(measured.per_s, 0, 0, 0.0, 0.0, 0.0)

    return Contender(name, turn, target, lambda: "".join(ways))
