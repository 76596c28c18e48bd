"""The processes of a local service, by the titles that Ray gives them."""

import contextlib

import psutil

REPLICA = "ray::ServeReplica:ragserve:"
ENGINE, GCS = "VLLM::EngineCore", "gcs_server"
CONTROLLER, PROXY_MANAGER, PROXY, HAPROXY = "ray::ServeController", "ray::HAProxyManager", "ray::ProxyActor", "haproxy"
TITLES = ("ray::ServeReplica", CONTROLLER, PROXY, PROXY_MANAGER, HAPROXY)


def service_processes(pid: int, *titles: str) -> list[psutil.Process]:
    """The descendants of `pid` with one of the titles: replicas, controller, proxies. All of these without `titles`."""
    wanted_titles, processes = titles or TITLES, []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline()) or process.name()
            if title.startswith(wanted_titles) or process.name().startswith(wanted_titles):
                processes.append(process)
    return processes


def stages_of(pid: int) -> list[str]:
    """The deployments that have a process of their own, such as Embedder."""
    titles = (" ".join(process.cmdline()) for process in service_processes(pid, REPLICA))
    return sorted({title.removeprefix(REPLICA).partition(".")[0].partition(" ")[0] for title in titles})


def children_of(pid: int, title: str) -> list[psutil.Process]:
    """The descendants of those descendants of `pid` that have the title."""
    processes = list[psutil.Process]()
    for process in service_processes(pid, title):
        with contextlib.suppress(psutil.NoSuchProcess):
            processes += process.children(recursive=True)
    return processes
