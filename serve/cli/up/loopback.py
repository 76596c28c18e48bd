"""Which names a service on the loopback address answers to, so that DNS rebinding does not open it to web pages."""

from ipaddress import ip_address
from typing import Any

from serve.config_file import settings_of

KEY = "allowed_hosts"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def allow_loopback_names(raw: dict[str, Any]) -> None:
    """Set api.allowed_hosts in Ingress' user_config if it is not set, there are no keys, and the address is loopback.

    `raw` is a checked deployment file, and is changed. A page that has no key gets no answer, so keys need no names.
    """
    application = raw["applications"][0]
    ingress = next((entry for entry in application.get("deployments") or [] if entry["name"] == "Ingress"), None)
    host = (raw.get("http_options") or {}).get("host", LOOPBACK_NAMES[1])
    if ingress is None or not is_loopback(host) or settings_of(raw).api.needs_keys:
        return
    arguments, user_config = application.get("args") or {}, ingress.setdefault("user_config", {})
    if not any(KEY in (section.get("api") or {}) for section in (arguments, user_config)):
        user_config["api"] = (user_config.get("api") or {}) | {KEY: list(dict.fromkeys((*LOOPBACK_NAMES, host)))}


def is_loopback(host: str) -> bool:
    """Whether a server at this address can be reached from its machine alone."""
    try:
        return host == LOOPBACK_NAMES[0] or ip_address(host).is_loopback
    except ValueError:
        return False


def listen_on(raw: dict[str, Any], host: str) -> None:
    """Listen on `host`. Beyond this machine callers need keys, unless the file says otherwise. `raw` is changed."""
    raw.setdefault("http_options", {})["host"] = host
    if not is_loopback(host):
        arguments = raw["applications"][0].setdefault("args", {})
        arguments["api"] = {"access": "keys"} | (arguments.get("api") or {})
