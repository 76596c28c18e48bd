"""Names say what they hold."""

import ast
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

VAGUE = {"asked", "found", "given", "held", "kept", "known", "one", "others", "part", "rest", "said", "seen", "wanted"}
PACKAGES = ("serve", "deployments", "models", "loadtests")


def bound_names(tree: ast.AST) -> Iterator[ast.Name | ast.arg]:
    """Everything that is assigned, looped over or passed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)):
            yield node


@pytest.mark.parametrize("package", PACKAGES)
def test_no_name_is_vague(package: str) -> None:
    vague = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in bound_names(ast.parse(path.read_text()))
        if (node.arg if isinstance(node, ast.arg) else node.id) in VAGUE
    ]

    assert vague == []


def test_no_two_files_of_tests_have_the_same_name() -> None:
    """pytest imports each by its name alone, and stops before the first test if another one has it."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")

    assert [name for name, count in names.items() if count > 1] == []
