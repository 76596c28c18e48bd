"""Programs: functions whole, under the names of their file and class."""

import pytest
from document_checks import assert_well_formed, block_texts

from models.documents.parse import parse

PYTHON = '''"""Module."""
import os

LIMIT = 3

# The tide.
@cache
def turn(a,
         b):
    """Turns.

Dedented.
"""
    return 1


class Tide(Base):
    """A tide."""

    height: int = 3

    def ebb(self):
        if self.height:
            pass
        else:
            return 2

    @property
    async def now(self):
        return 3


if __name__ == "__main__":
    main()
'''


def test_python_is_its_functions_and_classes() -> None:
    document = parse(PYTHON.encode(), "sea/tide.py")

    assert_well_formed(document)
    assert block_texts(document) == [
        ("heading", "tide.py"),
        ("code", '"""Module."""\nimport os\n\nLIMIT = 3'),
        ("heading", "turn"),
        (
            "code",
            '# The tide.\n@cache\ndef turn(a,\n         b):\n    """Turns.\n\nDedented.\n"""\n    return 1',
        ),
        ("heading", "Tide"),
        ("code", 'class Tide(Base):\n    """A tide."""\n\n    height: int = 3'),
        ("heading", "Tide.ebb"),
        ("code", "def ebb(self):\n    if self.height:\n        pass\n    else:\n        return 2"),
        ("heading", "Tide.now"),
        ("code", "@property\nasync def now(self):\n    return 3"),
        ("heading", "tide.py"),
        ("code", 'if __name__ == "__main__":\n    main()'),
    ]
    assert [block.level for block in document.blocks if block.level] == [1, 2, 2, 3, 3, 2]
    lines = [str(anchor.location) for anchor in document.anchors if anchor.location]
    assert lines == ["line 1", "line 6", "line 17", "line 22", "line 28", "line 33"]


def test_what_closes_a_class_is_kept_if_it_is_more_than_a_bracket() -> None:
    document = parse(b"struct Tide {\n  int turn() {\n    return 1;\n  }\n} first_tide;\n", "a.cpp")

    assert [text for kind, text in block_texts(document) if kind == "code"] == [
        *("struct Tide {", "int turn() {\n  return 1;\n}", "} first_tide;"),
    ]


@pytest.mark.parametrize(
    ("filename", "code", "names"),
    [
        (
            "Tide.java",
            "package a;\n/** Doc. */\npublic class Tide extends Base {\n    int x;\n\n"
            "    @Override\n    public int turn(int a)"
            " {\n        return 1;\n    }\n\n    void ebb()\n    {\n        x = 2;\n    }\n}\n",
            ["Tide", "Tide.turn", "Tide.ebb"],
        ),
        (
            "a.go",
            "package main\n\n// Turn.\nfunc (t *Tide) Turn(a int) {\n\tgo()\n}\n\ntype Tide struct {\n\tx int\n}\n",
            ["Turn", "Tide"],
        ),
        (
            "a.c",
            "#include <x.h>\nstatic int turn(int a)\n{\n  return a;\n}\nint main(void) {\n  turn(1);\n}\n",
            ["turn", "main"],
        ),
        (
            "a.ts",
            "export const turn = async (a) => {\n  return a;\n};\n"
            "export default class Tide {\n  ebb() {\n    return 1;\n  }\n}\n",
            ["turn", "Tide", "Tide.ebb"],
        ),
        (
            "a.rs",
            "impl Sea for Tide {\n    pub fn turn(&self) {\n        1\n    }\n}\n",
            ["Sea for Tide", "Sea for Tide.turn"],
        ),
        ("a.rb", "class Tide\n  def turn!\n    1\n  end\nend\n", ["Tide", "Tide.turn!"]),
        ("a.sql", "CREATE TABLE ports (\n  id int\n);\n", ["ports"]),
        ("a.sh", "set -e\nturn() {\n  echo 1\n}\n", ["turn"]),
    ],
)
def test_definitions_are_sections_in_each_language(filename: str, code: str, names: list[str]) -> None:
    document = parse(code.encode(), filename)

    assert_well_formed(document)
    assert [text for kind, text in block_texts(document) if kind == "heading"] == [filename, *names]
    read = "".join("".join(text.split()) for kind, text in block_texts(document) if kind == "code")
    assert "".join(code.split()).removesuffix("}").removesuffix("end") in read + "}"
