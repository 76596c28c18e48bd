"""The release workflow, read as a reviewer of its security does. Nothing of it is run."""

import re
from typing import Any

import yaml

from tests.conftest import ROOT

PATH = ROOT / ".github" / "workflows" / "release.yaml"
PINNED = re.compile(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def workflow() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(PATH.read_text())
    return loaded


def jobs() -> dict[str, dict[str, Any]]:
    return dict(workflow()["jobs"])


def is_of_a_tag(job: dict[str, Any]) -> bool:
    return job.get("if") == "github.ref_type == 'tag'"


def test_every_action_is_pinned_by_commit_with_its_version() -> None:
    lines = [line for line in PATH.read_text().splitlines() if "uses:" in line]

    assert lines
    assert not [line for line in lines if not PINNED.search(line)]


def test_only_a_tag_may_write_or_sees_a_secret() -> None:
    triggers = workflow()[True]  # YAML 1.1 reads the key `on` so

    assert "pull_request_target" not in triggers
    assert workflow()["permissions"] == {"contents": "read"}
    for name, job in jobs().items():
        if not is_of_a_tag(job):
            assert "permissions" not in job, name
            assert "secrets." not in str(job), name


def test_a_checkout_leaves_no_token_behind() -> None:
    steps = [step for job in jobs().values() for step in job["steps"] if "actions/checkout" in step.get("uses", "")]

    assert len(steps) == len(jobs())
    assert all(step["with"]["persist-credentials"] is False for step in steps)


def test_no_text_of_an_event_is_part_of_a_script() -> None:
    scripts = [step["run"] for job in jobs().values() for step in job["steps"] if "run" in step]

    assert not [script for script in scripts if "${{" in script]


def test_what_is_published_was_tested_and_scanned() -> None:
    published = {name: job for name, job in jobs().items() if is_of_a_tag(job)}
    names = [step.get("name") for step in published["publish-image"]["steps"]]

    assert set(published["publish-image"]["needs"]) == {"test", "chart", "image"}
    assert published["publish-chart"]["needs"] == "publish-image"
    assert names.index("Scan what was pushed") < names.index("Tag it")
    assert all("timeout-minutes" in job for job in jobs().values())


def test_the_targets_that_it_makes_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake ([a-z]+)", PATH.read_text()))

    assert targets >= {"check", "test", "sbom", "chart"}
    assert not [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)]


def test_an_image_of_gigabytes_has_room_and_time() -> None:
    for name in ("image", "publish-image"):
        steps = jobs()[name]["steps"]
        (scan,) = [step["with"] for step in steps if "trivy-action" in step.get("uses", "")]

        assert "Make room" in [step.get("name") for step in steps[:4]]
        assert scan["timeout"] == "30m"
        assert scan["exit-code"] == "1"


def test_a_release_reads_no_cache_that_another_run_wrote() -> None:
    steps = {step.get("name"): step.get("with", {}) for step in jobs()["publish-image"]["steps"]}

    assert steps["Build, and push without a tag"]["no-cache"] is True
    assert steps["Scan what was pushed"]["cache"] == "false"
