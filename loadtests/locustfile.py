"""The load test of a running service: `make load`, or `locust -f loadtests/locustfile.py --headless`.

It ends after --duration or --max-requests. It refuses another machine without --allow-remote (exit code 2).
It fails with exit code 1 if an endpoint exceeds its budget.
"""

import ipaddress
import logging
import socket
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from locust import LoadTestShape, events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.budgets import BUILT_IN as BUILT_IN_BUDGETS
from loadtests.budgets import Budgets, absent, violations
from loadtests.ingest_user import IngestUser
from loadtests.questions import Questions
from loadtests.recorder import recorder
from loadtests.report import summary, write_report
from loadtests.shapes import SHAPES
from loadtests.tables import Verdict
from loadtests.users import ChatUser, EmbeddingUser, QueryUser, Reader, RerankUser, SearchUser

__all__ = ["ChatUser", "EmbeddingUser", "IngestUser", "QueryUser", "RerankUser", "SearchUser", "TestShape"]

MAX_PEAK, MAX_DURATION_S, MAX_REQUESTS = 1_000, 4 * 3600, 10_000_000
DEFAULT_HOST = "http://127.0.0.1:8000"
logger = logging.getLogger("loadtests")


def bounded(limit: int) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if not 1 <= value <= limit:
            raise ArgumentTypeError(f"{value} is out of range; choose 1 to {limit}")
        return value

    return number


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    shapes = "; ".join(f"{shape.name}: {shape.help}" for shape in SHAPES.values())
    parser.add_argument("--shape", choices=sorted(SHAPES), default="ramp", help=f"Users over time. {shapes}.")
    parser.add_argument("--peak", type=bounded(MAX_PEAK), default=8, help="Highest number of users.")
    parser.add_argument("--duration", type=bounded(MAX_DURATION_S), default=60, help="Length of the test in seconds.")
    parser.add_argument(
        "--max-requests",
        type=bounded(MAX_REQUESTS),
        default=100_000,
        help="Requests that end the test early.",
    )
    parser.add_argument("--questions", default="", help="Folder in BEIR's layout; default: questions.txt.")
    parser.add_argument("--budgets", default=str(BUILT_IN_BUDGETS), help="YAML file of limits, by endpoint and stage.")
    parser.add_argument("--report", default="loadtest-report", help="Folder for report.html and CSV files.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the questions' order.")
    parser.add_argument("--allow-remote", action="store_true", help="Allow a service on another machine.")


@events.test_start.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    host = environment.host or DEFAULT_HOST
    if not options.allow_remote and not is_loopback(urlsplit(host).hostname or ""):
        logger.error("%s is another machine; add --allow-remote to load it", host)
        environment.process_exit_code = 2
        environment.runner.quit()
        return
    folder = options.questions
    Reader.questions = Questions.from_folder(Path(folder), options.seed) if folder else Questions.built_in(options.seed)
    environment.ragserve_budgets = Budgets.read(Path(options.budgets))
    recorder.start()


@events.request.add_listener
def record(name: str, response_time: float, exception: BaseException | None, context: dict[str, Any], **_: Any) -> None:
    recorder.add_request(name, response_time / 1e3, exception is not None, context.get("degraded", ()))


@events.test_stop.add_listener
def end(environment: Environment, **_: Any) -> None:
    recorder.stop()


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Write the report. Fail the run if a budget was exceeded, a set-up call failed, or no request was sent."""
    if environment.process_exit_code == 2 or isinstance(environment.runner, WorkerRunner):
        return
    options = environment.parsed_options
    budgets, measured = environment.ragserve_budgets, (recorder.by_endpoint(), recorder.by_stage())
    problems = violations(budgets, *measured) + recorder.setup_problems()
    if not recorder.num_requests:
        problems.append("no request was sent; check that the service runs")
    verdict = Verdict(tuple(problems), absent(budgets, *measured))
    path = write_report(recorder, verdict, Path(options.report), f"{options.shape}, up to {options.peak} users")
    logger.info("over %.1f s:\n%s", recorder.duration_s, summary(recorder, verdict))
    for problem in problems:
        logger.error("failed: %s", problem)
    logger.info("report: %s", path)
    environment.process_exit_code = 1 if problems else 0


class TestShape(LoadTestShape):
    """Locust calls `tick` every second for the number of users."""

    def tick(self) -> tuple[int, float] | None:
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        elapsed_s = self.get_run_time()
        if recorder.num_requests >= options.max_requests:
            return None
        users = SHAPES[options.shape].users(elapsed_s, options.duration, options.peak)
        if users is None:
            return None
        recorder.users.append((recorder.now_s(), self.get_current_user_count()))
        return users, max(1.0, float(options.peak))


def is_loopback(host: str) -> bool:
    """Whether every address of the name is a loopback address of this machine."""
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(addresses) and all(ipaddress.ip_address(address).is_loopback for address in addresses)
