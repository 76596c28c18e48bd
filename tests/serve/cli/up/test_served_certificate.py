"""What `ragserve up` says about its certificate before Ray starts."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from deployments.cluster.haproxy import TLS_CERTIFICATE
from models.errors.configuration import ConfigError
from serve.cli.up.certificate import ServedCertificate, expiry_of
from tests.certificates import pair


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        expiry_of(path)
    message = str(refused.value)
    assert message.startswith(f"{TLS_CERTIFICATE}: {path}")
    assert "\n" not in message
    return message


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "service.pem")
    assert "cannot be read: Is a directory" in refusal(tmp_path)


def test_a_key_that_every_user_may_read_is_refused(tmp_path: Path) -> None:
    path = pair().write(tmp_path / "service.pem")
    path.chmod(0o644)

    assert "run chmod 640" in refusal(path)


@pytest.mark.parametrize("text", ["", "a password", pair().certificate, pair().key])
def test_a_file_without_both_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "service.pem"
    path.touch(mode=0o600)
    path.write_text(text)

    assert "must have a certificate and its private key" in refusal(path)


def test_the_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    path = pair().write(tmp_path / "service.pem")
    path.write_text(pair().certificate + pair().key)

    assert "another certificate's" in refusal(path)


def test_a_key_with_a_password_is_refused(tmp_path: Path) -> None:
    assert "has a password" in refusal(pair(password="secret").write(tmp_path / "service.pem"))


def test_a_certificate_that_is_not_valid_now_is_refused(tmp_path: Path) -> None:
    assert "is valid from" in refusal(pair(days=-2).write(tmp_path / "expired.pem"))
    assert "is valid from" in refusal(pair(days=9, starts_in_days=5).write(tmp_path / "early.pem"))


@pytest.mark.parametrize(("days", "warning"), [(90, ""), (3.5, "expires in 3 days")])
def test_an_end_that_is_near_is_told(tmp_path: Path, days: float, warning: str) -> None:
    output = io.StringIO()

    ServedCertificate(pair(days=days).write(tmp_path / "service.pem")).check(Console(file=output, width=300))

    assert (warning in output.getvalue()) if warning else not output.getvalue()


def test_the_path_becomes_absolute_and_an_empty_one_means_no_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TLS_CERTIFICATE, "service.pem")
    served = ServedCertificate.from_environment()
    monkeypatch.setenv(TLS_CERTIFICATE, "")

    assert served is not None
    assert served.path == tmp_path / "service.pem"
    assert ServedCertificate.from_environment() is None
