"""A run: every operation against a service."""

import httpx
from rich.console import Console

from serve.cli.conformance.checks import OperationChecks
from serve.cli.conformance.description import METHODS, Description
from serve.cli.conformance.findings import Findings
from serve.cli.conformance.subject import Subject
from serve.cli.remote import RemoteService
from serve.cli.service_address import key_headers
from serve.cli.trust import trust

TIMEOUT_S = 120.0


def run(description: Description, url: str, console: Console) -> Findings:
    """Check all operations, deletions last. Raises RemoteError if the service is not ready, and ConfigError."""
    with RemoteService(url) as service:
        service.wait_until_ready(TIMEOUT_S)
        base = service.url
    findings = Findings()
    with httpx.Client(
        base_url=f"{base}/v1", headers=key_headers(), timeout=TIMEOUT_S, trust_env=False, verify=trust(base)
    ) as http:
        subject = Subject(http)
        operations = sorted(description.operations, key=lambda each: METHODS.index(each.method))
        for operation in operations:
            console.print(f"  {operation}", style="dim")
            findings.add(OperationChecks(operation, description, subject).run())
    return findings
