"""The deployment file: the shipped one is right, and the message about a wrong one names the key."""

import copy
from pathlib import Path
from typing import Any

import pytest

from models.catalog import Catalog
from models.errors.configuration import ConfigError
from serve.config_file import Machine, check, read, settings_of
from serve.config_models import STAGES
from serve.settings import Settings

ROOT = Path(__file__).parents[2]
TWO_CORES = Machine(num_cpus=2, num_gpus=0)


@pytest.fixture
def raw() -> dict[str, Any]:
    return copy.deepcopy(read(ROOT / "serve_config.yaml"))


def deployment(raw: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in raw["applications"][0]["deployments"] if entry["name"] == name)


def messages(raw: dict[str, Any], machine: Machine | None = TWO_CORES) -> list[str]:
    return [str(problem) for problem in check(raw, machine)]


def test_the_shipped_file_fits_two_cores(raw: dict[str, Any]) -> None:
    assert messages(raw) == []


def test_every_stage_is_declared_with_its_own_autoscaling_queue_and_batching(raw: dict[str, Any]) -> None:
    # Adding autoscaling_config to a deployment later restarts the whole application.
    for name in STAGES:
        stage = deployment(raw, name)

        assert stage["autoscaling_config"]["max_replicas"] >= 1
        assert stage["max_queued_requests"] > 0
        assert stage["max_ongoing_requests"] > 0


def test_no_stage_of_the_default_file_asks_for_a_gpu(raw: dict[str, Any]) -> None:
    options = [deployment(raw, name).get("ray_actor_options", {}) for name in STAGES]

    assert not [stage for stage in options if stage.get("num_gpus")]


@pytest.mark.parametrize(
    ("path", "wrong", "right"),
    [
        ([], "http_option", "http_options"),
        (["http_options"], "prot", "port"),
        (["logging_config"], "loglevel", "log_level"),
        (["applications", 0], "deploymnts", "deployments"),
        (["applications", 0, "args"], "storag", "storage"),
        (["applications", 0, "args", "storage"], "data_dri", "data_dir"),
        (["applications", 0, "deployments", 0, "user_config", "retrieval"], "candidate", "candidates"),
        (["applications", 0, "deployments", 0, "user_config"], "retrievel", "retrieval"),
        (["applications", 0, "deployments", 1], "max_ongoing_request", "max_ongoing_requests"),
        (["applications", 0, "deployments", 1, "autoscaling_config"], "min_replica", "min_replicas"),
        (["applications", 0, "deployments", 1, "ray_actor_options"], "num_cpu", "num_cpus"),
        (["applications", 0, "deployments", 1, "user_config"], "modle", "model"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    raw: dict[str, Any], path: list[Any], wrong: str, right: str
) -> None:
    place: Any = raw
    for step in path:
        place = place[step]
    place[wrong] = 1

    (message,) = [message for message in messages(raw) if wrong in message]
    assert "unknown key" in message
    assert f"did you mean {right!r}?" in message


@pytest.mark.parametrize(
    ("stage", "key", "alias", "nearest"),
    [
        ("Reranker", "model", "late-interactoin", "late-interaction"),
        ("Embedder", "model", "minilmm", "minilm"),
        ("Generator", "model", "qwen3-0.6", "qwen3-0.6b"),
    ],
)
def test_an_unknown_alias_is_refused_with_the_nearest_known_one(
    raw: dict[str, Any], stage: str, key: str, alias: str, nearest: str
) -> None:
    deployment(raw, stage)["user_config"][key] = alias

    text = "\n".join(messages(raw))

    assert f"no model named {alias!r}" in text
    assert repr(nearest) in text


def test_an_unknown_chunker_is_refused_with_those_there_are(raw: dict[str, Any]) -> None:
    deployment(raw, "Parser")["user_config"]["chunker"] = "words"

    (message,) = messages(raw)

    names = ", ".join(Catalog.open().names("chunking"))
    assert f"(Parser).user_config.chunker: catalog.chunking: no entry named 'words'; it is one of {names}" in message


def test_a_parser_of_the_catalog_that_cannot_be_imported_is_refused(raw: dict[str, Any], tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text("parsing: {mail: {kind: 'no_such_module:Mail', extensions: [.eml]}}")
    raw["applications"][0]["args"]["catalog"] = str(catalog)

    (message,) = messages(raw)

    assert "args.catalog: catalog.parsing.mail: kind 'no_such_module:Mail'" in message
    assert "'no_such_module' cannot be imported" in message


def test_an_unknown_canary_is_refused_with_the_nearest_known_one(raw: dict[str, Any]) -> None:
    deployment(raw, "Generator")["user_config"]["canary"] = {"model": "qwen3-0.6", "share": 0.1}

    (problem,) = check(raw)

    assert problem.where == "applications[0].deployments (Generator).user_config.canary.model"
    assert "did you mean 'qwen3-0.6b'?" in problem.message


def make_inline(raw: dict[str, Any], name: str) -> None:
    """Moves a stage from `deployments` into the ingress."""
    application, moved = raw["applications"][0], deployment(raw, name)
    application["deployments"].remove(moved)
    application["args"].setdefault("inline", {})[name] = moved["user_config"]


@pytest.mark.parametrize("name", ["Embedder", "DenseSearcher", "LexicalSearcher", "Reranker", "Generator"])
def test_a_stage_can_be_inside_the_ingress(raw: dict[str, Any], name: str) -> None:
    user_config = deployment(raw, name)["user_config"]

    make_inline(raw, name)

    assert messages(raw) == []
    assert settings_of(raw).inline.user_configs() == {name: user_config}


def test_an_inline_stage_has_no_deployment(raw: dict[str, Any]) -> None:
    raw["applications"][0]["args"]["inline"] = {"LexicalSearcher": {}}

    (message,) = messages(raw)

    assert message.endswith(
        "LexicalSearcher is inline (args.inline); remove this deployment, or remove it from args.inline"
    )


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"Parser": {}}, "applications[0].args.inline.Parser: unknown key"),
        ({"LexicalSearcher": {"max_batchsize": 4}}, "unknown key; did you mean 'max_batch_size'?"),
        ({"Generator": {"model": "extractiv"}}, "did you mean 'extractive'?"),
        ({"Embedder": {"model": "granite-small"}}, "'minilm', but Embedder's model is 'granite-small'"),
    ],
)
def test_a_wrong_inline_stage_is_refused(raw: dict[str, Any], config: dict[str, Any], problem: str) -> None:
    for name in config:
        if name != "Parser":
            make_inline(raw, name)
    raw["applications"][0]["args"]["inline"] = config

    assert any(problem in message for message in messages(raw)), messages(raw)


@pytest.mark.parametrize(("key", "name"), [("dense_shards", "DenseSearcher"), ("lexical_shards", "LexicalSearcher")])
def test_an_inline_search_has_no_shards(key: str, name: str, raw: dict[str, Any]) -> None:
    make_inline(raw, name)
    raw["applications"][0]["args"]["search"] = {key: 2}

    assert any(f"search.{key} must be 1" in message for message in messages(raw))


def test_a_misnamed_deployment_is_refused(raw: dict[str, Any]) -> None:
    deployment(raw, "Reranker")["name"] = "Rerankr"

    (message,) = messages(raw)

    assert "no deployment named 'Rerankr'; did you mean 'Reranker'?" in message


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"num_gpus": 1.5}, "use a fraction of one GPU, or whole GPUs"),
        ({"num_gpus": 1}, "the machine has 0"),
        ({"num_cpus": 64}, "the machine has 2"),
        ({"num_cpus": -1}, "greater than or equal to 0"),
    ],
)
def test_an_impossible_resource_is_refused(raw: dict[str, Any], options: dict[str, float], problem: str) -> None:
    deployment(raw, "Generator")["ray_actor_options"] = options

    assert problem in "\n".join(messages(raw))


def test_contradictory_replica_bounds_are_refused(raw: dict[str, Any]) -> None:
    deployment(raw, "Embedder")["autoscaling_config"] = {"min_replicas": 3, "max_replicas": 2}

    assert "max_replicas" in "\n".join(messages(raw))


def test_the_keys_of_prices_are_names_and_those_of_a_price_are_checked(raw: dict[str, Any]) -> None:
    raw["applications"][0]["args"]["costs"] = {"prices": {"qwen3-8b": {"input": 0.2}}}
    assert messages(raw) == []

    raw["applications"][0]["args"]["costs"] = {"prices": {"qwen3-8b": {"inputs": 0.2}}}
    assert any("prices.qwen3-8b.inputs: unknown key; did you mean 'input'?" in message for message in messages(raw))


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ({"budget": 1.0}, "policy_kwargs.budget: unknown key; did you mean 'budget_s'?"),
        ({"budget_s": 0}, "policy_kwargs.budget_s: Input should be greater than 0"),
    ],
)
def test_a_wrong_argument_of_our_policy_is_refused(raw: dict[str, Any], kwargs: dict[str, float], problem: str) -> None:
    policy = {"policy_function": "deployments.autoscaling:LatencyBudgetPolicy", "policy_kwargs": kwargs}
    deployment(raw, "Reranker")["autoscaling_config"]["policy"] = policy

    assert [message.endswith(problem) for message in messages(raw)] == [True]


def test_a_missing_autoscaling_config_is_refused(raw: dict[str, Any]) -> None:
    del deployment(raw, "Embedder")["autoscaling_config"]

    assert "must be declared, even for a fixed number" in "\n".join(messages(raw))


def test_a_tokenizer_other_than_the_embedders_is_refused(raw: dict[str, Any]) -> None:
    deployment(raw, "Parser")["user_config"]["tokenizer"] = "granite-small"

    assert "set both to the same alias" in "\n".join(messages(raw))


def test_the_message_names_a_value_out_of_bounds(raw: dict[str, Any]) -> None:
    deployment(raw, "Embedder")["user_config"]["max_batch_size"] = 0

    (message,) = messages(raw)

    assert "(Embedder).user_config.max_batch_size" in message


def test_a_repeated_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("applications: []\nproxy_location: HeadOnly\nproxy_location: Disabled\n")

    with pytest.raises(ConfigError, match="'proxy_location' appears twice"):
        read(path)


def test_a_gpu_file_fits_a_machine_with_a_gpu(raw: dict[str, Any]) -> None:
    deployment(raw, "Generator")["ray_actor_options"] = {"num_cpus": 0.25, "num_gpus": 1}

    assert messages(raw, Machine(num_cpus=2, num_gpus=1)) == []


@pytest.mark.parametrize(
    ("user_config", "problem"),
    [
        ({"retrieval": {"candidates": 0}}, "user_config.retrieval.candidates"),
        ({"admission": {"max_questions": "many"}}, "user_config.admission.max_questions"),
        ({"ingest": {"lease_s": 60}}, "user_config.ingest.lease_s"),  # fixed as long as a worker lives
        ({"api": {"keys_file": "keys.yaml"}}, "user_config.api.keys_file"),  # opened at the start
        ({"storage": {"data_dir": "elsewhere"}}, "user_config.storage"),
    ],
)
def test_a_user_config_of_the_ingress_with_a_fixed_setting_is_refused(
    raw: dict[str, Any], user_config: dict[str, Any], problem: str
) -> None:
    deployment(raw, "Ingress")["user_config"] = user_config

    (message,) = messages(raw)
    assert problem in message


def test_settings_under_args_are_still_accepted(raw: dict[str, Any]) -> None:
    del deployment(raw, "Ingress")["user_config"]
    raw["applications"][0]["args"]["retrieval"] = {"candidates": 20}

    assert messages(raw) == []
    assert settings_of(raw).retrieval.candidates == 20


def test_user_config_wins_over_args_key_by_key(raw: dict[str, Any]) -> None:
    raw["applications"][0]["args"]["retrieval"] = {"candidates": 20, "search_s": 2.5}
    deployment(raw, "Ingress")["user_config"] = {"retrieval": {"candidates": 70}}

    retrieval = settings_of(raw).retrieval

    assert (retrieval.candidates, retrieval.search_s) == (70, 2.5)


def test_args_and_user_config_become_typed_settings(raw: dict[str, Any]) -> None:
    settings = settings_of(raw)

    assert settings.retrieval.candidates == 50
    assert settings.storage.data_dir == Path("data")


def test_secrets_come_from_the_environment_and_stay_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGSERVE_MILVUS_TOKEN", "root:secret")
    monkeypatch.setenv("RAGSERVE_DATABASE_URL", "postgresql+psycopg://db/ragserve")

    settings = Settings(**{"storage": {"milvus": {"uri": "http://milvus:19530"}}})

    assert settings.storage.url == "postgresql+psycopg://db/ragserve"
    assert settings.storage.milvus is not None
    assert settings.storage.milvus.token is not None
    assert settings.storage.milvus.token.get_secret_value() == "root:secret"
    assert "secret" not in repr(settings)
    assert Settings().storage.milvus is None


def test_the_url_of_redis_comes_from_the_environment_and_its_password_stays_out_of_sight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAGSERVE_REDIS_URL", "redis://:secret@cache:6379/1")

    settings = Settings().with_user_config({"cache": {"answers": {"enabled": False}}})

    assert settings.cache.redis_url is not None
    assert settings.cache.redis_url.get_secret_value() == "redis://:secret@cache:6379/1"
    assert not settings.cache.answers.enabled
    assert "secret" not in repr(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("cache", "key"),
    [
        ({"redis_url": "http://:secret@cache"}, "redis_url"),
        ({"redis_url": "redis://:secret@cache:secret"}, "redis_url"),
        ({"redis_url": "redis://:secret@cache/secret"}, "redis_url"),
        ({"answers": {"max_mb": 0}}, "answers.max_mb"),
        ({"answers": {"max_gb": 1}}, "answers.max_gb"),
        ({"semantic": {}}, "semantic"),
    ],
)
def test_a_wrong_setting_of_the_caches_is_refused_without_its_password(cache: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"user_config.cache.{key}") as refused:
        Settings().with_user_config({"cache": cache})

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "replicas", "problem"),
    [
        ({"storage": {"milvus": {"uri": "m.db"}}}, 2, "only one process can open Milvus Lite"),
        ({"storage": {"milvus": {"uri": "http://m"}}, "search": {"dense_shards": 2}}, 2, "must be 1 with Milvus"),
        ({"storage": {"milvus": {"uri": "http://m"}}, "search": {"lexical_shards": 2}}, 2, "must be 1 with Milvus"),
    ],
)
def test_a_deployment_that_milvus_cannot_serve_is_refused(
    arguments: dict[str, Any], replicas: int, problem: str
) -> None:
    raw = read(ROOT / "serve_config.yaml")
    raw["applications"][0]["args"] |= arguments
    for deployment in raw["applications"][0]["deployments"]:
        if deployment["name"] == "DenseSearcher":
            deployment["autoscaling_config"]["max_replicas"] = replicas

    assert any(problem in str(refused) for refused in check(raw))


def test_a_replica_with_milvus_lite_stops_before_the_next_starts(raw: dict[str, Any]) -> None:
    raw["applications"][0]["args"]["storage"]["milvus"] = {"uri": "/folder/milvus.db"}
    (refused,) = messages(raw)

    deployment(raw, "DenseSearcher")["max_surge_percent"] = 0

    assert refused.endswith(
        "max_surge_percent: must be 0: only one process can open Milvus Lite, so the old replica must stop first"
    )
    assert messages(raw) == []


@pytest.mark.parametrize(("key", "name"), [("dense_shards", "DenseSearcher"), ("lexical_shards", "LexicalSearcher")])
def test_every_shard_must_be_listed(key: str, name: str) -> None:
    raw = read(ROOT / "serve_config.yaml")
    application = raw["applications"][0]
    application["args"]["search"] = {key: 2}
    assert any(f"{name}-1 is missing" in message for message in messages(raw, None))
    first = deployment(raw, name)

    application["deployments"].append(first | {"name": f"{name}-1"})

    assert check(raw) == []


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x80", b"a: [", b"- a list"], ids=["binary", "half", "a list"])
def test_a_file_that_is_no_yaml_mapping_is_a_config_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "serve_config.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"is not YAML|must be a mapping"):
        read(path)


@pytest.mark.parametrize("applications", [[], None])
def test_a_file_without_an_application_is_refused(raw: dict[str, Any], applications: list[Any] | None) -> None:
    raw["applications"] = applications

    assert any("applications" in message for message in messages(raw))


@pytest.mark.parametrize(
    ("generator", "served"),
    [
        ({"model": "extractive"}, "none"),
        ({"model": "qwen3-0.6b"}, "qwen3-0.6b"),
        ({"model": "extractive", "canary": {"model": "qwen3-1.7b", "share": 0}}, "qwen3-1.7b"),
    ],
)
def test_follow_ups_are_rewritten_by_a_model_that_the_generator_serves(
    raw: dict[str, Any], generator: dict[str, Any], served: str
) -> None:
    deployment(raw, "Generator")["user_config"] = generator
    query = deployment(raw, "Ingress")["user_config"]["query"]

    query["follow_up"] = {"model": "smollm2-135m"}
    (message,) = messages(raw)
    assert f"follow_up.model: the Generator serves no language model 'smollm2-135m'; it serves {served}" in message

    query["follow_up"] = {"model": None if served == "none" else served, "budget_s": 1}
    assert messages(raw) == []

    query["understanding"] = {"model": "smollm2-135m", "decomposition": True}
    (message,) = messages(raw)
    assert "understanding.model: the Generator serves no language model" in message


def test_every_model_of_a_list_is_in_the_catalog(raw: dict[str, Any]) -> None:
    generator = deployment(raw, "Generator")["user_config"]

    generator["model"] = ["qwen3-0.6b", "extractive"]
    assert messages(raw) == []

    generator["model"] = ["qwen3-0.6b", "extractiv"]
    (message,) = messages(raw)
    assert "user_config.model: catalog.generation: no model named 'extractiv'; did you mean 'extractive'?" in message

    generator["model"] = ["extractive", "extractive"]
    assert any("appears twice" in message for message in messages(raw))


def test_names_that_clients_send_stand_for_models(raw: dict[str, Any]) -> None:
    deployment(raw, "Ingress")["user_config"]["api"] = {"model_aliases": {"gpt-4o": "ragserv"}}

    (message,) = messages(raw)
    assert "api.model_aliases.gpt-4o: no model named 'ragserv'; did you mean 'ragserve'?" in message


def test_prompt_sets_of_answers_are_in_the_catalog(raw: dict[str, Any]) -> None:
    query = deployment(raw, "Ingress")["user_config"]["query"]

    query["prompts"] = {"prompt": "defualt@1", "canary": {"prompt": "default@2", "share": 0.1}}
    of_set, of_canary = messages(raw)
    assert "query.prompts.prompt: no prompt set named 'defualt@1'; did you mean 'default@1'?" in of_set
    assert "query.prompts.canary.prompt: no prompt set named 'default@2'" in of_canary

    query["prompts"] = {"prompt": "default@1"}
    assert messages(raw) == []


def test_a_service_that_others_can_reach_says_who_may(raw: dict[str, Any]) -> None:
    raw["http_options"]["host"] = "0.0.0.0"
    arguments = raw["applications"][0]["args"]

    assert [problem.where for problem in check(raw)] == ["applications[0].args.api.access"]
    for api in ({"access": "open"}, {"access": "keys"}, {"keys_file": "/keys.yaml"}):
        arguments["api"] = api
        assert check(raw) == []
