"""Whether a reranker's scores can be computed from the token vectors that ingestion stored."""

from models.catalog import Catalog
from models.embedding.sentence_transformers_model import SentenceTransformersConfig
from models.reranking.late_interaction import LateInteractionConfig
from models.source import resolve_source, revision_of


def token_generations(catalog: Catalog, alias: str) -> tuple[str, ...]:
    """The generations of the embedding models that make the same token vectors as reranker `alias`.

    Their weights, revision and precision are the same, and they put the same prefixes before a text. Empty for a
    reranker that is not late interaction. Reads the weights to hash them, which takes a moment.
    """
    config = catalog.config("reranking", alias)
    if not isinstance(config, LateInteractionConfig):
        return ()
    source = resolve_source(alias, config)
    models = []
    for name in catalog.names("embedding"):
        if catalog.entry("embedding", name).options.get("source") != config.source:
            continue  # also keeps a class of the operator's own from being imported here
        embedding = catalog.config("embedding", name)
        if isinstance(embedding, SentenceTransformersConfig) and _has_same_vectors(config, embedding):
            models.append(name if resolve_source(name, embedding) == source else "")
    return tuple(f"{name}@{revision_of(source)}" for name in models if name)


def _has_same_vectors(reranking: LateInteractionConfig, embedding: SentenceTransformersConfig) -> bool:
    prefixes = (embedding.query_prefix, embedding.document_prefix)
    return embedding.precision == reranking.precision and prefixes == (
        reranking.query_prefix,
        reranking.document_prefix,
    )
