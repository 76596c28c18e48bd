"""OpenTelemetry's names for work of models, once: they are in development, and change.

Source: https://github.com/open-telemetry/semantic-conventions-genai, 0.1.0. It has no operation for reranking.
"""

from collections.abc import Mapping
from typing import Any

from deployments.telemetry.spans import Value
from models.types.generation import GenerationDelta
from models.types.ranking import LexicalRanking, Ranking
from models.types.stage_results import Embeddings, Relevance, Reranking

OPERATION, PROVIDER = "gen_ai.operation.name", "gen_ai.provider.name"
REQUEST_MODEL, RESPONSE_MODEL = "gen_ai.request.model", "gen_ai.response.model"
INPUT_TOKENS, OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
FINISH_REASONS, DIMENSIONS = "gen_ai.response.finish_reasons", "gen_ai.embeddings.dimension.count"
OPERATIONS = {
    "embed": "embeddings",
    "dense": "retrieval",
    "lexical": "retrieval",
    "rerank": "rerank",
    "generate": "chat",
}


def operation_of(stage: str) -> dict[str, Value]:
    """The attributes of a span that calls the stage."""
    operation = OPERATIONS.get(stage)
    return {OPERATION: operation, PROVIDER: "ragserve"} if operation else {}


def attributes_of(answer: Any) -> Mapping[str, Value]:
    """What an answer says of its model, without any of its texts."""
    match answer:
        case Embeddings():
            dim = int(answer.vectors.shape[1])
            return {RESPONSE_MODEL: answer.model, INPUT_TOKENS: answer.num_tokens, DIMENSIONS: dim}
        case Relevance():
            return {RESPONSE_MODEL: answer.model, INPUT_TOKENS: answer.num_tokens}
        case Reranking():
            num_candidates = len(answer.scores)
            return {
                RESPONSE_MODEL: answer.model,
                INPUT_TOKENS: answer.num_tokens,
                "ragserve.candidates": num_candidates,
            }
        case Ranking():
            return {"ragserve.hits": len(answer)}
        case LexicalRanking():
            return {"ragserve.hits": len(answer.ranking)}
        case GenerationDelta() if answer.finish_reason is not None:
            return {
                RESPONSE_MODEL: answer.model,
                INPUT_TOKENS: answer.num_prompt_tokens,
                OUTPUT_TOKENS: answer.num_completion_tokens,
                FINISH_REASONS: (answer.finish_reason,),
            }
    return {}
