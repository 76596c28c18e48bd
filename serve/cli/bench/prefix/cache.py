"""A prefix cache of vLLM's kind, simulated: full blocks of a prompt, found again by what stands before them."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

BLOCK_TOKENS = 16  # vLLM's default on a GPU


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt: the same `name` is the same tokens, another one differs from its first token on."""

    name: Hashable
    num_tokens: int


class PrefixCache:
    """Up to `num_tokens` tokens in blocks of `block_tokens`; the least recently used goes, of a prompt its end first.

    One request at a time; its answer's tokens take blocks, too. A block is found only if all before it are.
    """

    def __init__(self, num_tokens: int, block_tokens: int = BLOCK_TOKENS) -> None:
        self._block_tokens = block_tokens
        self._max_blocks = num_tokens // block_tokens
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def serve(self, prompt: Sequence[Segment], answer: Segment) -> int:
        """How many of the prompt's tokens are found; its full blocks are kept then, and the answer's."""
        num_prompt_tokens = sum(segment.num_tokens for segment in prompt)
        blocks = self._keys([*prompt, answer])
        num_found = 0
        # The last token is computed in any case, for its output is the answer's first.
        while (num_found + 1) * self._block_tokens < num_prompt_tokens and blocks[num_found] in self._blocks:
            num_found += 1
        for block in reversed(blocks):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._max_blocks:
            self._blocks.popitem(last=False)
        return num_found * self._block_tokens

    def _keys(self, segments: Sequence[Segment]) -> list[int]:
        """A key for each full block: the pieces up to its end, and its place."""
        keys: list[int] = []
        prefix, end = 0, 0
        for segment in segments:
            prefix, end = hash((prefix, segment.name)), end + segment.num_tokens
            keys += [hash((prefix, place)) for place in range(len(keys), end // self._block_tokens)]
        return keys
