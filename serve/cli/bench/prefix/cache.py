"""A simulation of vLLM's prefix cache: full blocks of a prompt, identified by everything before them."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

BLOCK_TOKENS = 16  # vLLM's default on a GPU


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt. The same `name` means the same tokens; another name differs from its first token on."""

    name: Hashable
    num_tokens: int


class PrefixCache:
    """Up to `num_tokens` tokens in blocks of `block_tokens`. The least recently used is evicted, of a prompt the last.

    One request at a time; the tokens of its answer take blocks, too. A block hits only if all blocks before it hit.
    """

    def __init__(self, num_tokens: int, block_tokens: int = BLOCK_TOKENS) -> None:
        self._block_tokens = block_tokens
        self._max_blocks = num_tokens // block_tokens
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def serve(self, prompt: Sequence[Segment], answer: Segment) -> int:
        """Number of the prompt's tokens that hit; then caches the full blocks of prompt and answer."""
        num_prompt_tokens = sum(segment.num_tokens for segment in prompt)
        blocks = self._keys([*prompt, answer])
        num_hits = 0
        # The last token is always computed: its output is the first token of the answer.
        while (num_hits + 1) * self._block_tokens < num_prompt_tokens and blocks[num_hits] in self._blocks:
            num_hits += 1
        for block in reversed(blocks):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._max_blocks:
            self._blocks.popitem(last=False)
        return num_hits * self._block_tokens

    def _keys(self, segments: Sequence[Segment]) -> list[int]:
        """A key for each full block, from the pieces up to its end and its place."""
        keys: list[int] = []
        prefix, end = 0, 0
        for segment in segments:
            prefix, end = hash((prefix, segment.name)), end + segment.num_tokens
            keys += [hash((prefix, place)) for place in range(len(keys), end // self._block_tokens)]
        return keys
