"""A document's sections: the blocks under one heading, and groups of tiny neighbours."""

from dataclasses import dataclass

from models.documents.base import Block, Document

# A section smaller than a quarter of a chunk has a sentence or two. Larger sections stay apart: more questions match a
# chunk with one subject than a chunk with three.
TINY_FRACTION = 0.25


@dataclass(frozen=True)
class Section:
    """The text under one heading: `blocks` are its body, or the heading itself if there is no body.

    `path`: the headings above it, outermost first, its own heading last. Empty before the first heading.
    """

    path: tuple[Block, ...]
    blocks: tuple[Block, ...]

    @property
    def start(self) -> int:
        """The start of its own heading, or of its body if it has no heading."""
        return self.path[-1].start if self.path else self.blocks[0].start

    @property
    def end(self) -> int:
        return self.blocks[-1].end


@dataclass(frozen=True)
class Group:
    """Neighbouring sections that are chunked together."""

    sections: tuple[Section, ...]

    @property
    def path(self) -> tuple[Block, ...]:
        """The headings above all sections, outermost first, without those inside the text."""
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
        """Whether the first section's own heading is part of the text, as it is not above the other sections."""
        first = self.sections[0]
        if first.blocks[0] in first.path:
            return True
        return any(section.path[: len(first.path)] != first.path for section in self.sections)


def split_sections(document: Document) -> list[Section]:
    """The sections in order. They have all blocks except headings, and headings without a body."""
    sections: list[Section] = []
    path: tuple[Block, ...] = ()
    body: list[Block] = []
    for block in document.blocks:
        if block.kind != "heading":
            body.append(block)
            continue
        sections.extend(_close_section(path, body, block.level))
        path = (*(above for above in path if above.level < block.level), block)
        body = []
    sections.extend(_close_section(path, body, next_level=0))
    return sections


def _close_section(path: tuple[Block, ...], body: list[Block], next_level: int) -> list[Section]:
    if body:
        return [Section(path, tuple(body))]
    is_leaf = bool(path) and next_level <= path[-1].level
    return [Section(path, (path[-1],))] if is_leaf else []


def merge_tiny(sections: list[Section], num_tokens: list[int], max_tokens: int) -> list[Group]:
    """Groups of tiny neighbours under the parent of the first, as many as fit. Other sections are groups of one.

    `num_tokens` has each section's number of tokens, headings included.
    """
    groups: list[list[Section]] = []
    room = 0  # tokens that the last group can still take
    for section, size in zip(sections, num_tokens, strict=True):
        is_tiny = size <= TINY_FRACTION * max_tokens
        if groups and is_tiny and size <= room and _is_under_same_parent(groups[-1][0], section):
            groups[-1].append(section)
            room -= size
        else:
            groups.append([section])
            room = max_tokens - size if is_tiny else 0
    return [Group(tuple(group)) for group in groups]


def _is_under_same_parent(first: Section, section: Section) -> bool:
    parent = first.path[:-1]
    return section.path[: len(parent)] == parent
