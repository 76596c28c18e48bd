"""Where the gRPC server of a replica listens."""

import asyncio

import grpc
import psutil
import pytest
from ray.serve._private import replica as serve_replica

from deployments.cluster import environment
from deployments.replica import start

ELSEWHERE = "203.0.113.9"  # of a block for documentation: no machine has it


def addresses(port: int) -> set[str]:
    """Where this process listens on the port."""
    connections = psutil.Process().net_connections("tcp")
    listening = [each.laddr for each in connections if each.status == psutil.CONN_LISTEN]
    return {address.ip.removeprefix("::ffff:") for address in listening if address.port == port}


async def addresses_of_started() -> set[str]:
    server = grpc.aio.server()
    start.keep_port_to_node()
    port = serve_replica.add_port_to_grpc_server(server, "[::]:0")  # as Serve's own code finds and calls it
    await server.start()
    try:
        return addresses(port)
    finally:
        await server.stop(None)


@pytest.mark.parametrize("node", ["127.0.0.1", "::1"])
def test_it_listens_at_the_nodes_address_alone(monkeypatch: pytest.MonkeyPatch, node: str) -> None:
    if not environment.is_free(node, 0):
        pytest.skip(f"this machine has no {node}")
    monkeypatch.setattr(start, "get_node_ip_address", lambda: node)

    assert asyncio.run(addresses_of_started()) == {node}


def test_behind_nat_it_listens_on_every_address(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(start, "get_node_ip_address", lambda: ELSEWHERE)

    assert asyncio.run(addresses_of_started()) <= {"::", "0.0.0.0"}
    assert ELSEWHERE in caplog.text
