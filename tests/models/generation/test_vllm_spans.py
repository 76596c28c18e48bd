"""What one real engine tells of a request beside its tokens: its spans, its queue, its metrics."""

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from models.generation.vllm_model import VllmModel
from models.types.generation import CompletionRequest, SamplingOptions
from tests.contexts import TRACEPARENT
from tests.models.generation.engine_probe import collect, until
from tests.models.generation.samples import TOWER, asking, passage
from tests.otlp_receiver import Receiver, attributes

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
    # torch's own, when vLLM imports it.
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

_, TRACE_ID, PARENT_ID, _ = TRACEPARENT.split("-")
OTHER = f"00-{TRACE_ID[::-1]}-{PARENT_ID}-00"  # of a request that is not recorded
FOUR = SamplingOptions(max_tokens=4, temperature=1.0, seed=1)


async def test_the_engines_spans_are_in_the_requests_trace_and_its_queue_is_measured(
    model: VllmModel, receiver: Receiver
) -> None:
    waits: list[tuple[str, float]] = []
    model.observe_queue(lambda request_id, queue_s: waits.append((request_id, queue_s)))
    question = replace(asking("How tall is it?", passage(TOWER), sampling=FOUR), request_id="streamed")
    body = {"model": "tiny", "prompt": "The tower", "max_tokens": 4, "ignore_eos": True}

    await collect(model, replace(question, trace_context=OTHER))
    await collect(model, replace(question, trace_context=TRACEPARENT))
    async for _ in model.complete(CompletionRequest("completed", "completion", body, TRACEPARENT)):
        pass

    def spans() -> list[str]:
        return [span.trace_id.hex() for span in receiver.spans if span.name == "llm_request"]

    await until(lambda: spans().count(TRACE_ID) == 2)
    assert TRACE_ID[::-1] not in spans()
    of_trace = [span for span in receiver.spans if span.name == "llm_request" and span.trace_id.hex() == TRACE_ID]
    assert {span.parent_span_id.hex() for span in of_trace} == {PARENT_ID}
    assert [attributes(span)["gen_ai.usage.completion_tokens"] for span in of_trace] == [4, 4]
    assert all(attributes(span)["gen_ai.latency.time_in_queue"] >= 0 for span in of_trace)
    assert [request_id for request_id, _ in waits] == ["streamed", "streamed", "completed"]
    assert all(queue_s >= 0 for _, queue_s in waits)


async def test_the_engines_metrics_name_the_model_and_no_folder(model: VllmModel) -> None:
    names = {
        sample.labels["model_name"]
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name.startswith("vllm:") and "model_name" in sample.labels
    }

    assert names == {"tiny"}
