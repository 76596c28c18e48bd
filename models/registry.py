"""Kinds by task: which class implements a catalog entry. Its module is imported on first use, and torch with it.

A kind is a name from KINDS or the `module:Class` of a class of your own. The class has an attribute `config_class`, a
pydantic model, and a constructor `(name, config)`, where `name` is the catalog alias. Models load their weights in the
constructor, unless they have a `start`; they raise ModelLoadError.
"""

import importlib
import re
from typing import Any, Literal

from pydantic import BaseModel

from models.errors.configuration import ConfigError
from models.errors.suggestions import did_you_mean

Task = Literal["embedding", "reranking", "generation", "parsing", "chunking"]

KINDS: dict[Task, dict[str, str]] = {
    "embedding": {
        "sentence_transformers": "models.embedding.sentence_transformers_model:SentenceTransformersModel",
        "vllm": "models.embedding.vllm_model:VllmEmbeddingModel",
        "openai": "models.embedding.openai_model:OpenAIEmbeddingModel",
        "hashing": "models.embedding.hashing_model:HashingModel",
    },
    "reranking": {
        "late_interaction": "models.reranking.late_interaction:LateInteractionModel",
        "cross_encoder": "models.reranking.cross_encoder:CrossEncoderModel",
        "vllm": "models.reranking.vllm_model:VllmRerankingModel",
        "cohere": "models.reranking.cohere_model:CohereModel",
        "jina": "models.reranking.jina_model:JinaModel",
        "tei": "models.reranking.tei_model:TeiModel",
    },
    "generation": {
        "extractive": "models.generation.extractive:ExtractiveModel",
        "vllm": "models.generation.vllm_model:VllmModel",
        "openai": "models.generation.openai_model:OpenAIModel",
    },
    "parsing": {
        "plain_text": "models.documents.parsers.plain_text:PlainTextParser",
        "markdown": "models.documents.parsers.markdown:MarkdownParser",
        "html": "models.documents.parsers.html:HtmlParser",
        "docx": "models.documents.parsers.docx:DocxParser",
        "pdf": "models.documents.parsers.pdf:PdfParser",
        "image": "models.documents.parsers.image:ImageParser",
        "xlsx": "models.documents.parsers.xlsx:XlsxParser",
        "xls": "models.documents.parsers.xls:XlsParser",
        "pptx": "models.documents.parsers.pptx:PptxParser",
        "opendocument": "models.documents.parsers.opendocument:OpenDocumentParser",
        "rtf": "models.documents.parsers.rtf:RtfParser",
        "epub": "models.documents.parsers.epub:EpubParser",
        "source_code": "models.documents.parsers.source_code:SourceCodeParser",
        "json": "models.documents.parsers.json_text:JsonParser",
        "xml": "models.documents.parsers.xml_text:XmlParser",
        "notebook": "models.documents.parsers.notebook:NotebookParser",
        "mail": "models.documents.parsers.mail:MailParser",
        "outlook": "models.documents.parsers.outlook:OutlookParser",
        "archive": "models.documents.parsers.archive:ArchiveParser",
    },
    "chunking": {
        "structure": "models.documents.chunkers.structure:StructureChunker",
        "fixed_tokens": "models.documents.chunkers.fixed_tokens:FixedTokensChunker",
        "sentence_window": "models.documents.chunkers.sentence_window:SentenceWindowChunker",
        "semantic": "models.documents.chunkers.semantic:SemanticChunker",
        "parent_child": "models.documents.chunkers.parent_child:ParentChildChunker",
        "contextual_headers": "models.documents.chunkers.contextual_headers:ContextualHeadersChunker",
    },
}
CLASS_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def check_kind(task: Task, kind: str, where: str) -> None:
    """Raises ConfigError unless `kind` is a built-in kind of `task` or has the form `module:Class`. Imports nothing."""
    if kind not in KINDS[task] and not CLASS_PATH.fullmatch(kind):
        hint = did_you_mean(kind, sorted(KINDS[task]))
        raise ConfigError(where, f"unknown kind {kind!r}{hint}; for a class of your own, write module:Class")


def load_class(task: Task, kind: str, where: str) -> type[Any]:
    """Import the class of a kind. Raises ConfigError if it cannot be imported or has no `config_class`."""
    check_kind(task, kind, where)
    module_name, _, class_name = KINDS[task].get(kind, kind).partition(":")
    try:
        module = importlib.import_module(module_name)
    except MemoryError:  # the Parser's child process reports its memory limit
        raise
    except Exception as error:  # the module's own code runs here and may raise anything
        problem = f"module {module_name!r} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(where, f"kind {kind!r}: {problem}") from error
    kind_class = getattr(module, class_name, None)
    if not isinstance(kind_class, type):
        raise ConfigError(where, f"kind {kind!r}: module {module_name!r} has no class {class_name!r}")
    config_class = getattr(kind_class, "config_class", None)
    if not (isinstance(config_class, type) and issubclass(config_class, BaseModel)):
        raise ConfigError(where, f"kind {kind!r}: the class needs an attribute config_class, a pydantic model")
    return kind_class
