"""A document's sections: what stands under one heading, and which tiny neighbours are read together."""

from dataclasses import dataclass

from models.documents.base import Block, Document

# A section below a quarter of a chunk holds a sentence or two. Larger ones stay apart: a chunk about one thing is
# found by more questions than a chunk about three.
TINY_SHARE = 0.25


@dataclass(frozen=True)
class Section:
    """What stands under one heading: `blocks` are its body, or the heading itself if it has none.

    `path`: the headings above, outermost first, its own last; empty for what precedes the first heading.
    """

    path: tuple[Block, ...]
    blocks: tuple[Block, ...]

    @property
    def start(self) -> int:
        """Where its own heading begins, or its body where it has no heading."""
        return self.path[-1].start if self.path else self.blocks[0].start

    @property
    def end(self) -> int:
        return self.blocks[-1].end


@dataclass(frozen=True)
class Group:
    """Neighbouring sections that are chunked as one text."""

    sections: tuple[Section, ...]

    @property
    def path(self) -> tuple[Block, ...]:
        """The headings above the whole text and not in it, outermost first."""
        path = self.sections[0].path
        return path[:-1] if self._includes_heading else path

    @property
    def start(self) -> int:
        first = self.sections[0]
        return first.start if self._includes_heading else first.blocks[0].start

    @property
    def end(self) -> int:
        return self.sections[-1].end

    @property
    def blocks(self) -> list[Block]:
        return [block for section in self.sections for block in section.blocks]

    @property
    def _includes_heading(self) -> bool:
        """Whether the first section's own heading is part of the text: it does not stand above all that follows."""
        first = self.sections[0]
        if first.blocks[0] in first.path:
            return True
        return any(section.path[: len(first.path)] != first.path for section in self.sections)


def split_sections(document: Document) -> list[Section]:
    """The sections in order. Every block that is no heading is in one; so is a heading with nothing under it."""
    sections: list[Section] = []
    path: tuple[Block, ...] = ()
    body: list[Block] = []
    for block in document.blocks:
        if block.kind != "heading":
            body.append(block)
            continue
        sections.extend(_closed(path, body, block.level))
        path = (*(above for above in path if above.level < block.level), block)
        body = []
    sections.extend(_closed(path, body, next_level=0))
    return sections


def _closed(path: tuple[Block, ...], body: list[Block], next_level: int) -> list[Section]:
    if body:
        return [Section(path, tuple(body))]
    is_leaf = bool(path) and next_level <= path[-1].level
    return [Section(path, (path[-1],))] if is_leaf else []


def merge_tiny(sections: list[Section], num_tokens: list[int], max_tokens: int) -> list[Group]:
    """Groups of tiny neighbours under the first one's parent, as long as they fit; other sections stay alone.

    `num_tokens` are the sections' own, headings included, in their order.
    """
    groups: list[list[Section]] = []
    room = 0  # tokens that the last group may still take; 0 where it takes no more
    for section, size in zip(sections, num_tokens, strict=True):
        is_tiny = size <= TINY_SHARE * max_tokens
        if is_tiny and size <= room and _is_under_same_parent(groups[-1][0], section):
            groups[-1].append(section)
            room -= size
        else:
            groups.append([section])
            room = max_tokens - size if is_tiny else 0
    return [Group(tuple(group)) for group in groups]


def _is_under_same_parent(first: Section, section: Section) -> bool:
    parent = first.path[:-1]
    return section.path[: len(parent)] == parent
