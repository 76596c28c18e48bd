"""Entities of XML that are not expanded: they stay in the text as they are written."""

from lxml import etree


def spell_entities(root: etree._Element) -> int:
    """Make each entity of a tree text, such as `&note;`. Returns their number.

    libxml2 keeps an entity as a node of its own, and the text behind it would be lost with the node.
    """
    num_entities = 0
    for entity in root.iter(etree.Entity):
        entity.tail = f"{entity.text}{entity.tail or ''}"
        num_entities += 1
    if num_entities:
        etree.strip_tags(root, etree.Entity)
    return num_entities
