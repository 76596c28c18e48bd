import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models.errors.configuration import ConfigError
from models.generation.vllm_config import VllmConfig
from models.vllm.arguments import lora_arguments
from models.vllm.engine import cpu_engine_environment

# Importing vLLM takes ten seconds; torch warns of itself then.
needs_vllm = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]


def test_an_answer_must_leave_room_for_its_prompt() -> None:
    with pytest.raises(ValidationError, match="less than max_model_len, which is 1024"):
        VllmConfig(source="folder", max_model_len=1024, max_tokens=1024)


def test_what_the_engine_needs_on_a_cpu_is_named() -> None:
    assert cpu_engine_environment(kv_cache_gib=2, num_threads=3) == {
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "3",
    }


def test_threads_are_left_alone_unless_given() -> None:
    assert "OMP_NUM_THREADS" not in cpu_engine_environment(kv_cache_gib=1, num_threads=None)


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"max_num_seq": 4}, "engine_kwargs: vLLM has no engine argument 'max_num_seq'; did you mean 'max_num_seqs'"),
    ({"model": "other"}, "engine_kwargs: remove 'model'; set the option 'source' instead"),
    ({"enable_lora": True}, "engine_kwargs: remove 'enable_lora'; set the option 'adapters' instead"),
    ({"max_num_seqs": "many"}, 'engine_kwargs.max_num_seqs: "many" is not possible: .* valid integer'),
    ({"max_num_seqs": "8"}, 'engine_kwargs.max_num_seqs: "8" is not possible: .* valid integer'),
    ({"max_num_seqs": 0}, "engine_kwargs.max_num_seqs: 0 is not possible: .* greater than or equal to 1"),
    (
        {"gpu_memory_utilization": 7},
        "engine_kwargs.gpu_memory_utilization: 7 is not possible: .* less than or equal to 1",
    ),
    ({"quantization": "nope"}, 'engine_kwargs.quantization: "nope" is not possible: .* awq'),
    ({"dtype": "int3"}, "engine_kwargs.dtype: .*'bfloat16'"),
    ({"enable_prefix_caching": "yes"}, "engine_kwargs.enable_prefix_caching: .* valid boolean"),
    ({"load_format": "nope"}, "engine_kwargs.load_format: .* safetensors"),
    ({"distributed_executor_backend": "nope"}, "engine_kwargs.distributed_executor_backend: .* ray, mp"),
    ({"compilation_config": {"modee": 3}}, "engine_kwargs.compilation_config: .* modee: unexpected keyword"),
    ({"max_lora_rank": 17}, "engine_kwargs.max_lora_rank: 17 is not possible: .* 16, 32"),
]


class TestWithVllm:
    pytestmark = needs_vllm

    @pytest.mark.parametrize(
        ("engine_kwargs", "message"), IMPOSSIBLE, ids=[f"{next(iter(case[0].items()))}" for case in IMPOSSIBLE]
    )
    def test_an_impossible_engine_argument_is_refused_with_what_is_possible(
        self, engine_kwargs: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ConfigError, match=message):
            VllmConfig(source="folder", max_model_len=512, max_tokens=100, engine_kwargs=engine_kwargs)

    @pytest.mark.parametrize(
        "engine_kwargs",
        [
            {"max_num_seqs": 8, "gpu_memory_utilization": 0.5, "quantization": "fp8", "dtype": "bfloat16"},
            {"max_num_seqs": None, "tensor_parallel_size": 2, "kv_cache_dtype": "fp8"},
            {"compilation_config": {"mode": 3}, "hf_overrides": {"rope_theta": 1e6}},
            {"speculative_config": {"method": "ngram", "num_speculative_tokens": 3}},
            {"distributed_executor_backend": "my_company.Executor", "enable_prefix_caching": False},
        ],
        ids=lambda engine_kwargs: "-".join(engine_kwargs),
    )
    def test_a_possible_one_is_kept_as_it_is(self, engine_kwargs: dict[str, Any]) -> None:
        config = VllmConfig(source="folder", max_model_len=512, max_tokens=100, engine_kwargs=engine_kwargs)

        assert config.engine_kwargs == engine_kwargs

    @pytest.mark.parametrize(
        ("field", "name", "nearest"), [("tool_parser", "herms", "hermes"), ("reasoning_parser", "qwen4", "qwen3")]
    )
    def test_an_unknown_parser_is_refused_with_the_nearest_known(self, field: str, name: str, nearest: str) -> None:
        with pytest.raises(ConfigError, match=f"{field}: .*did you mean '{nearest}'"):
            VllmConfig(source="folder", max_model_len=512, max_tokens=100, **{field: name})

    def test_the_largest_adapter_decides_the_rank_that_the_engine_provides_for(self, tmp_path: Path) -> None:
        for name, rank in (("small", 4), ("large", 40)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "adapter_config.json").write_text(json.dumps({"r": rank}))

        derived = lora_arguments({name: str(tmp_path / name) for name in ("small", "large")})

        assert derived == {"enable_lora": True, "max_loras": 2, "max_lora_rank": 64}
        assert lora_arguments({"hub": "owner/adapter"}) == {"enable_lora": True, "max_loras": 1, "max_lora_rank": 16}
        assert lora_arguments({}) == {}
