"""The CronJob of an overlay with a `backup_schedule`: `ragserve backups create`, in a pod like a worker's."""

from typing import Any

from models.errors.configuration import ConfigError
from serve.backups.config import BackupsConfig
from serve.cli.kubernetes.values import VALUES_FILE, Values

NAME = "ragserve-backup"
CONFIG_FOLDER, CONFIG_FILE = "/etc/ragserve/backup", "serve_config.yaml"
ENVIRONMENT = ("RAGSERVE_DATABASE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
VOLUMES = ("tmp", "home", "data")
RESOURCES = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
LATEST_START_S = 3600
NUM_RETRIES = 2


def backup_manifests(
    values: Values, config: BackupsConfig, serve_config: str, template: dict[str, Any]
) -> list[dict[str, Any]]:
    """A ConfigMap and a CronJob; nothing without a schedule. `template` is a worker's pod template.

    Raises ConfigError.
    """
    if values.backup_schedule is None:
        return []
    if config.url is None:
        raise ConfigError(VALUES_FILE, "backup_schedule needs args.backups.url, the place of the backups")
    if config.every_s is not None:
        raise ConfigError(VALUES_FILE, "backup_schedule and args.backups.every_s are two schedules; set one of them")
    labels = {**template["metadata"]["labels"], "app.kubernetes.io/name": NAME}
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME},
        "data": {CONFIG_FILE: serve_config},
    }
    return [settings, _job(values.backup_schedule, config, labels, template["spec"])]


def _job(schedule: str, config: BackupsConfig, labels: dict[str, str], spec: dict[str, Any]) -> dict[str, Any]:
    job = {
        "backoffLimit": NUM_RETRIES,
        "activeDeadlineSeconds": int(config.max_s),
        "template": {"metadata": {"labels": labels}, "spec": _pod(spec)},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": NAME},
        "spec": {
            "schedule": schedule,
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": LATEST_START_S,
            "jobTemplate": {"spec": job},
        },
    }


def _pod(spec: dict[str, Any]) -> dict[str, Any]:
    """With the account, the database and the volumes of a worker, and without its models."""
    worker = spec["containers"][0]
    container = {
        "name": "backup",
        "image": worker["image"],
        "imagePullPolicy": worker["imagePullPolicy"],
        "command": ["ragserve", "backups", "create", "--config", f"{CONFIG_FOLDER}/{CONFIG_FILE}"],
        "env": [variable for variable in worker["env"] if variable["name"] in ENVIRONMENT],
        "resources": RESOURCES,
        "securityContext": worker["securityContext"],
        "volumeMounts": [
            *(mount for mount in worker["volumeMounts"] if mount["name"] in VOLUMES),
            {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True},
        ],
    }
    return {
        "serviceAccountName": spec["serviceAccountName"],
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "securityContext": spec["securityContext"],
        "containers": [container],
        "volumes": [
            *(volume for volume in spec["volumes"] if volume["name"] in VOLUMES),
            {"name": "config", "configMap": {"name": NAME}},
        ],
    }
