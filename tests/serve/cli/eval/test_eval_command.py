"""`ragserve eval` refuses invalid input before it sends the first request."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from deployments.cluster.environment import free_port
from serve.cli.eval.command import evaluate
from serve.cli.eval.modes import DEFAULT_MODES, MODES, PARENTS
from serve.cli.remote import RemoteError
from tests.serve.cli.eval.evaluation_samples import run_of, set_run, write_set

app = typer.Typer(rich_markup_mode=None)
app.command("eval")(evaluate)


def run_eval(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--modes", "bm25,dens"], "did you mean 'dense'?"),
        (["--modes", ","], "no mode"),
        (["--k", "51"], "it must be 1 to 50"),
        (["--plot", "run.doc"], "must end in .png"),
        (["--split", "dev"], "there is no"),
        (["--compare", "missing.json"], "cannot be read"),
        (["--chunking", "semantics"], "did you mean"),
        (["--chunking", "all", "--check"], "--check needs one chunking"),
        (["--queries", "0"], "greater than or equal to 1"),
    ],
)
def test_invalid_input_exits_with_2(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    result = run_eval(write_set(tmp_path / "birds"), *arguments)

    assert result.exit_code == 2
    assert complaint in " ".join(result.output.split())


def test_outputs_are_checked_before_the_first_search(tmp_path: Path) -> None:
    folder, unused_url = write_set(tmp_path / "birds"), f"http://127.0.0.1:{free_port()}"
    run_of(set_run({"dense": {"nDCG@10": [1]}}, digest="another")).save(tmp_path / "run.json")

    compared = run_eval(folder, "--url", unused_url, "--compare", tmp_path / "run.json")
    written = run_eval(folder, "--url", unused_url, "--run-files", tmp_path / "runs")

    assert (compared.exit_code, written.exit_code) == (2, 2)
    assert "the saved run used other documents" in " ".join(compared.output.split())
    assert "a TREC file cannot hold it" in " ".join(written.output.split())


def test_two_sets_with_the_same_name_are_refused(tmp_path: Path) -> None:
    folders = [write_set(tmp_path / parent / "birds") for parent in ("a", "b")]

    result = run_eval(*folders)

    assert result.exit_code == 2
    assert "two folders have the same name" in " ".join(result.output.split())


def test_a_service_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    result = run_eval(write_set(tmp_path / "birds"), "--url", f"http://127.0.0.1:{free_port()}")

    assert result.exit_code == 1
    assert isinstance(result.exception, RemoteError)
    assert "is `ragserve up` running?" in str(result.exception)


def test_the_help_text_names_existing_modes() -> None:
    result = run_eval("--help")

    assert ",".join(DEFAULT_MODES) in result.output
    assert all(mode in result.output for mode in MODES)
    assert {parent for parents in PARENTS.values() for parent in parents} <= set(DEFAULT_MODES)
