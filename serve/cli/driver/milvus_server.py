"""A real Milvus: Milvus Lite in this process, and the server of the package `milvus` in a process of its own."""

import atexit
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from models.corpus.ids import random_id
from models.errors.stages import StageUnavailableError
from models.index.milvus_collection import Collection, Milvus
from models.index.milvus_config import MilvusConfig
from models.index.milvus_index import MilvusDenseIndex, MilvusLexicalIndex

START_TIMEOUT_S = 90.0

# In its own interpreter: the package changes the working directory while it starts the server. It gets all its ports
# from here: its own search for free ports misses those of another server.
_START = """
import sys, milvus
config = milvus.MilvusServerConfig(data_dir=sys.argv[1])
names = [name for name in config.configurable_items if name.endswith("_port") and name != "proxy_port"]
ports = iter(sys.argv[3:])
config.update(**{name: next(ports) for name in names}, proxy_port=sys.argv[2])
server = milvus.MilvusServer(config, wait_for_started=False)
server.webservice_port = int(next(ports))
server.start()
sys.stdin.read()
server.stop()
"""
_NUM_PORTS = 20


def make_dense(uri: str, dim: int) -> MilvusDenseIndex:
    """An empty index in a collection that this process shares: creating one takes 0.5 to 5 s."""
    collection = _milvus(uri).make_dense(f"of {dim} dimensions", dim)
    _empty(collection)
    return MilvusDenseIndex(collection, random_id("tenant_"), "vs_contract", dim)


def make_lexical(uri: str) -> MilvusLexicalIndex:
    collection = _milvus(uri).make_lexical()
    _empty(collection)
    return MilvusLexicalIndex(collection, random_id("tenant_"), "vs_contract")


@cache
def lite_uri() -> str:
    """The URI of this process' Milvus Lite."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return f"{folder.name}/lite.db"


@cache
def server() -> "MilvusServer":
    """This process' server, started at the first call: about 10 s and 250 MB."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    started = MilvusServer(Path(folder.name))
    atexit.register(started.stop)
    started.start()
    return started


class MilvusServer:
    """A server with its data in `folder`. One at a time on a machine: a port of its inner etcd is fixed."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.uri = folder, ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it under a new URI: its last port is not free at once."""
        ports = _free_ports(_NUM_PORTS)
        self.uri = f"http://127.0.0.1:{ports[0]}"
        command = [sys.executable, "-W", "ignore", "-c", _START, str(self._folder), *map(str, ports)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        _wait_until_ready(self.uri, self._process)

    def stop(self) -> None:
        """Stops it. Its data stay."""
        if self._process is not None:
            self._process.communicate(timeout=30)
            self._process = None


def new_prefix() -> str:
    """A unique prefix of collection names."""
    return random_id("test_")


@cache
def _milvus(uri: str) -> Milvus:
    return Milvus(MilvusConfig(uri=uri, prefix=new_prefix()))


def _empty(collection: Collection) -> None:
    collection.delete("file_key == 0 or file_key != 0")


def _wait_until_ready(uri: str, process: "subprocess.Popen[bytes]") -> None:
    """Returns once the server has created a collection: it reports itself healthy too early."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        milvus = Milvus(MilvusConfig(uri=uri, prefix=new_prefix(), timeout_s=2))
        try:
            milvus.client.drop_collection(milvus.make_dense("ready", 2).name)
            return
        except StageUnavailableError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
        finally:
            milvus.close()


def _free_ports(num: int) -> list[int]:
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(num)]
        for probe in sockets:
            probe.bind(("", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]
