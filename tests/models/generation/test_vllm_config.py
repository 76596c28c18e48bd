import pytest
from pydantic import ValidationError

from models.generation.vllm_model import VllmConfig, cpu_engine_environment


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
