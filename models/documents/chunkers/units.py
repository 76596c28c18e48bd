"""Sentences as units that are found: those of one section in order, very short ones with the next."""

from collections.abc import Iterator
from dataclasses import dataclass

from models.documents.chunkers.atoms import Atom
from models.documents.chunkers.layout import Layout
from models.documents.sections import Group

MIN_UNIT_TOKENS = 12  # "Yes." or a line with a bracket matches nothing alone


@dataclass(frozen=True)
class Unit:
    """Characters `start` to `end`, and their tokens."""

    start: int
    end: int
    num_tokens: int


def units_of(layout: Layout, section: Group, min_tokens: int = MIN_UNIT_TOKENS) -> list[Unit]:
    """The units of a section in order. Each has at least `min_tokens` tokens where the next one leaves room."""
    groups = list[list[Atom]]()
    for atom in layout.atoms(section):
        if groups and _num_tokens(groups[-1]) < min_tokens and _fits(groups[-1], atom):
            groups[-1].append(atom)
        else:
            groups.append([atom])
    units = [Unit(group[0].start, group[-1].end, _num_tokens(group)) for group in groups]
    return list(_joined_end(units, min_tokens, layout.max_tokens))


def _joined_end(units: list[Unit], min_tokens: int, max_tokens: int) -> Iterator[Unit]:
    """The units; a short last one is joined to the one before."""
    if len(units) > 1 and units[-1].num_tokens < min_tokens:
        before, last = units[-2:]
        if before.num_tokens + last.num_tokens <= max_tokens:
            units = [*units[:-2], Unit(before.start, last.end, before.num_tokens + last.num_tokens)]
    yield from units


def _num_tokens(atoms: list[Atom]) -> int:
    return atoms[-1].end_token - atoms[0].first_token


def _fits(atoms: list[Atom], atom: Atom) -> bool:
    return atom.end_token - atoms[0].first_token <= atoms[0].max_tokens
