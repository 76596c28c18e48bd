"""Which encodings share a forward pass: those of similar length, or if time is short a call's first ones."""

from collections.abc import Callable
from dataclasses import dataclass

from deployments.replica.batched_call import Item

MAX_PADDING = 0.125  # of a pass' tokens
PASS_TOKENS = (
    40  # the fixed cost of a pass in tokens (MiniLM on one core): less padding than this is cheaper than a second pass
)


@dataclass(frozen=True)
class PassBudget:
    """Most padded tokens of a pass, of a pass with an item of a large call, and most items."""

    num_tokens: int
    num_tokens_of_large: int
    num_items: int


def of_similar_length(
    leader: Item,
    window: list[Item],
    budget: PassBudget,
    is_large: Callable[[Item], bool],
    is_last: Callable[[Item], bool] | None = None,
) -> list[Item]:
    """A pass with `leader` and the window's items of nearest length, those of small calls first.

    Those that are last, if any, fill what room is left.
    """
    length = leader.num_tokens
    batch, num_tokens, longest, has_large = [leader], length, length, is_large(leader)

    def order(item: Item) -> tuple[bool, int]:
        return is_large(item), abs(item.num_tokens - length)

    ordered = sorted(window, key=order)
    if is_last is not None:
        ordered.sort(key=is_last)
    for item in ordered:
        if len(batch) == budget.num_items:
            break
        padded = max(longest, item.num_tokens) * (len(batch) + 1)
        with_large = has_large or is_large(item)
        fits = padded <= (budget.num_tokens_of_large if with_large else budget.num_tokens)
        if item is leader or not fits or not _is_dense(num_tokens + item.num_tokens, padded):
            continue
        batch.append(item)
        num_tokens, longest, has_large = num_tokens + item.num_tokens, max(longest, item.num_tokens), with_large
    return batch


def first_in_order(queued: list[Item], num_tokens: int, num_items: int) -> list[Item]:
    """A pass with the first items of a call, within `num_tokens` with padding; one item at least."""
    batch, longest = list[Item](), 0
    for item in sorted(queued, key=lambda item: item.position):
        longest = max(longest, item.num_tokens)
        if batch and (longest * (len(batch) + 1) > num_tokens or len(batch) == num_items):
            break
        batch.append(item)
    return batch


def padded_tokens(batch: list[Item]) -> int:
    """The tokens of a pass with its padding."""
    return len(batch) * max(item.num_tokens for item in batch)


def _is_dense(num_tokens: int, padded: int) -> bool:
    return padded - num_tokens <= max(PASS_TOKENS, MAX_PADDING * padded)
