"""YAML as an operator means it: a key that appears twice, or is no text, is an error. YAML would keep the last."""

from typing import Any

import yaml

MERGE = "tag:yaml.org,2002:merge"


class StrictYamlError(ValueError):
    """The text is not strict YAML. The message is one line, and shows nothing of the text but its keys."""


def read_strictly(text: str) -> Any:
    """The text's value. Raises StrictYamlError."""
    try:
        return yaml.load(text, _StrictLoader)
    except RecursionError:
        raise StrictYamlError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise StrictYamlError(_problem(error)) from None


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE:
                continue  # the keys of `<<: *alias`, which those of the mapping itself override
            key = self.construct_object(key_node, deep=deep)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} must be a text", key_node.start_mark)
            if key in keys:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} appears twice", key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep=deep)


def _problem(error: Exception) -> str:
    """The parser's message on one line, with its place."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    problem = error.problem or error.context  # type: ignore[attr-defined]
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})"
