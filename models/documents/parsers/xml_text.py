"""XML of any kind: names and values, record by record. Entities are never expanded."""

import re

from lxml import etree
from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.entities import spell_entities
from models.documents.records.elements import append_elements
from models.documents.signatures import signature_of
from models.errors.requests import UnreadableDocumentError

OPENING = re.compile(rb"\s*<(?:\?xml\s|!DOCTYPE\s|(?:svg|rss|feed|urlset|project)[\s>])")
ENTITIES = "unexpanded entities"


class XmlConfig(BaseModel):
    """An entry of kind `xml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_bytes: int = Field(
        default=64 * 2**20,
        ge=2**10,
        le=2**30,
        description="A larger file is refused. Parsing takes some ten times as much memory.",
    )


class XmlParser:
    """A Parser of kind `xml`."""

    config_class = XmlConfig

    def __init__(self, name: str, config: XmlConfig) -> None:
        self._max_bytes = config.max_bytes

    def recognizes(self, content: bytes) -> bool:
        return signature_of(content) is None and OPENING.match(content.removeprefix(b"\xef\xbb\xbf")) is not None

    def parse(self, content: bytes, filename: str) -> Document:
        """The text of the elements, and their attributes."""
        if len(content) > self._max_bytes:
            detail = f"more than {self._max_bytes:,} bytes of XML; split the file"
            raise UnreadableDocumentError(filename, "invalid_file", detail)
        parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
        try:
            root = etree.fromstring(content.lstrip(), parser)
        except (etree.LxmlError, ValueError) as error:
            detail = f"not well-formed XML ({_problem(error)}); repair it, or save it as text"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error
        builder = DocumentBuilder()
        builder.omit(ENTITIES, spell_entities(root))
        append_elements(root, builder)
        return builder.build()


def _problem(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200]
