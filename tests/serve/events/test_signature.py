"""Signatures as Standard Webhooks has them."""

import base64

import pytest
from pydantic import SecretStr

from models.errors.configuration import ConfigError
from serve.events.signature import read_secrets, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_signature_is_that_of_the_standards_own_libraries() -> None:
    keys = read_secrets(SecretStr(SECRET))

    signature = sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_sign_while_one_is_replaced() -> None:
    new = f"whsec_{base64.b64encode(b'n' * 32).decode()}"

    both = sign(read_secrets(SecretStr(f"{new} {SECRET}")), "evt_1", 1, b"{}").split(" ")

    assert both == [sign(read_secrets(SecretStr(secret)), "evt_1", 1, b"{}") for secret in (new, SECRET)]


@pytest.mark.parametrize("secret", [None, "", " ", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_é!"])
def test_an_invalid_secret_is_refused_and_not_repeated(secret: str | None) -> None:
    with pytest.raises(ConfigError, match="RAGSERVE_WEBHOOK_SECRET") as refused:
        read_secrets(None if secret is None else SecretStr(secret))

    assert not secret or not secret.strip() or secret not in str(refused.value)
