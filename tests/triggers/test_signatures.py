"""Whether webhooks come from whom they say."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.durations import MINUTE, SECOND
from stepwell.triggers.signatures import BadSignature, BadVerification, secret_problem, verification_of, verify
from stepwell.triggers.standard_webhooks import new_secret, secret_bytes, signed_headers

NOW = 1_790_000_000 * SECOND
BODY = b'{"id": "evt_1", "x": "\xc3\xa4"}'
SECRET = "agreed on"


def mac(content: bytes, secret: bytes = SECRET.encode(), algorithm: str = "sha256") -> str:
    return hmac.new(secret, content, algorithm).hexdigest()


def code(settings: dict[str, Any], headers: dict[str, str], body: bytes = BODY, now: int = NOW) -> str:
    """`verified`, or why not."""
    try:
        verify(verification_of({"secret": "x", **settings}), [SECRET], headers, body, now)
    except BadSignature as error:
        return error.code
    return "verified"


def stripe(seconds: int = NOW // SECOND, *signatures: str, body: bytes = BODY) -> dict[str, str]:
    given = signatures or (mac(b"%d.%s" % (seconds, body)),)
    return {"stripe-signature": ",".join([f"t={seconds}", "v0=old", *(f"v1={each}" for each in given)])}


def slack(seconds: int = NOW // SECOND, body: bytes = BODY) -> dict[str, str]:
    signature = mac(b"v0:%d:%s" % (seconds, body))
    return {"x-slack-signature": f"v0={signature}", "x-slack-request-timestamp": str(seconds)}


# Known answers of the senders' own documentation


def test_github_s_own_example_is_right() -> None:
    headers = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}
    verification = verification_of({"scheme": "github", "secret": "x"})
    verify(verification, ["It's a Secret to Everybody"], headers, b"Hello, World!", NOW)
    with pytest.raises(BadSignature):
        verify(verification, ["It's a Secret to Everybody"], headers, b"Hello, World?", NOW)


def test_slack_s_own_example_is_right() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
        b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        "x-slack-request-timestamp": "1531420618",
    }
    verification = verification_of({"scheme": "slack", "secret": "x"})
    verify(verification, ["8f742231b10e8888abcd99yyyzzz85a5"], headers, body, 1531420618 * SECOND)


@given(st.binary(max_size=200), st.text("abcdefgh_0123456789", min_size=1, max_size=30))
def test_what_is_signed_as_standard_webhooks_says_is_what_its_own_library_signs(body: bytes, id_: str) -> None:
    secret = new_secret(bytes(range(32)))
    headers = dict(signed_headers(id_, body, [secret], NOW))
    theirs = standardwebhooks.Webhook(secret)
    moment = datetime.fromtimestamp(NOW // SECOND, tz=UTC)
    if _is_text(body):
        assert headers["webhook-signature"] == theirs.sign(id_, moment, body.decode())
    verification = verification_of({"scheme": "standard-webhooks", "secret": "x"})
    assert verify(verification, [secret], headers, body, NOW).delivery == id_
    for changed in ({**headers, "webhook-id": id_ + "x"}, {**headers, "webhook-timestamp": str(NOW // SECOND + 1)}):
        with pytest.raises(BadSignature):
            verify(verification, [secret], changed, body, NOW)


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_the_library_of_standard_webhooks_accepts_what_is_signed_with_several_secrets() -> None:
    secrets = [new_secret(bytes([n]) * 32) for n in range(2)]
    now = int(datetime.now(UTC).timestamp()) * SECOND  # noqa: TID251 - the library reads the clock
    headers = dict(signed_headers("msg_1", b'{"a": 1}', secrets, now))
    for secret in secrets:
        assert standardwebhooks.Webhook(secret).verify(b'{"a": 1}', headers) == {"a": 1}


# Schemes


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({"scheme": "github"}, {"x-hub-signature-256": f"sha256={mac(BODY)}"}),
        ({"scheme": "github"}, {"x-hub-signature-256": f"sha256={mac(BODY).upper()}"}),
        ({"scheme": "stripe"}, stripe()),
        ({"scheme": "stripe"}, stripe(NOW // SECOND, "00", mac(b"%d.%s" % (NOW // SECOND, BODY)))),
        ({"scheme": "slack"}, slack()),
        ({"scheme": "token", "header": "X-Gitlab-Token"}, {"x-gitlab-token": SECRET}),
        ({"scheme": "hmac", "header": "X-Sig"}, {"x-sig": mac(BODY)}),
        (
            {"scheme": "hmac", "header": "X-Sig", "algorithm": "sha1", "prefix": "sha1="},
            {"x-sig": f"sha1={mac(BODY, algorithm='sha1')}"},
        ),
        (
            {"scheme": "hmac", "header": "X-Sig", "algorithm": "sha512", "encoding": "base64"},
            {"x-sig": base64.b64encode(hmac.digest(SECRET.encode(), BODY, hashlib.sha512)).decode()},
        ),
        (
            {"scheme": "hmac", "header": "X-Sig", "timestamp_header": "X-Time"},
            {"x-sig": mac(b"%d.%s" % (NOW // SECOND, BODY)), "x-time": str(NOW // SECOND)},
        ),
        (
            {"scheme": "hmac", "header": "X-Sig", "timestamp_header": "X-Time", "signed": "a{body}:{timestamp}"},
            {"x-sig": mac(b"a%s:%d" % (BODY, NOW // SECOND)), "x-time": str(NOW // SECOND)},
        ),
    ],
)
def test_each_scheme_knows_its_signature_and_no_other(settings: dict[str, Any], headers: dict[str, str]) -> None:
    assert code(settings, headers) == "verified"
    assert code(settings, {}) == "signature-missing"
    if settings["scheme"] != "token":
        assert code(settings, headers, BODY + b" ") == "bad-signature"
    for name, value in headers.items():
        if "time" not in name:
            assert code(settings, {**headers, name: value[:-1]}) in ("bad-signature", "stale-timestamp")
            assert code(settings, {**headers, name: "\xff" * 20}) in ("bad-signature", "stale-timestamp")


@pytest.mark.parametrize("scheme", ["stripe", "slack"])
@pytest.mark.parametrize("apart", [-301 - 1, 301 + 1])
def test_a_signature_that_is_too_old_or_from_the_future_is_refused(scheme: str, apart: int) -> None:
    seconds = NOW // SECOND + apart
    made = stripe(seconds) if scheme == "stripe" else slack(seconds)
    assert code({"scheme": scheme}, made) == "stale-timestamp"
    assert code({"scheme": scheme, "tolerance": "10m"}, made) == "verified"
    assert code({"scheme": scheme}, made, now=NOW + apart * SECOND) == "verified"


@pytest.mark.parametrize("seconds", ["", "x", "-1", "1e9", "９", "1" * 40])
def test_a_time_that_is_none_is_refused(seconds: str) -> None:
    assert code({"scheme": "slack"}, {**slack(), "x-slack-request-timestamp": seconds}) in (
        "stale-timestamp",
        "signature-missing",
    )


def test_what_was_signed_with_a_time_is_known_again_and_what_was_not_is_not() -> None:
    timed = verification_of({"scheme": "slack", "secret": "x"})
    first, again = (verify(timed, [SECRET], slack(), BODY, NOW).delivery for _ in range(2))
    later = verify(timed, [SECRET], slack(NOW // SECOND + 1), BODY, NOW).delivery
    assert first == again != later
    untimed = verification_of({"scheme": "hmac", "header": "X-Sig", "secret": "x"})
    assert verify(untimed, [SECRET], {"x-sig": mac(BODY)}, BODY, NOW).delivery is None
    named = verification_of({"scheme": "hmac", "header": "X-Sig", "id_header": "X-Id", "secret": "x"})
    assert verify(named, [SECRET], {"x-sig": mac(BODY), "x-id": "7"}, BODY, NOW).delivery == "7"


_HEADERS = ("x-hub-signature-256", "stripe-signature", "x-slack-signature", "x-slack-request-timestamp", "x-sig")


@given(st.binary(max_size=50), st.dictionaries(st.sampled_from(_HEADERS), st.text(max_size=60)))
def test_no_guess_is_ever_verified_and_nothing_else_is_raised(body: bytes, headers: dict[str, str]) -> None:
    for scheme in ("github", "stripe", "slack", "hmac", "token"):
        more = {"header": "X-Sig"} if scheme in ("hmac", "token") else {}
        assert code({"scheme": scheme, **more}, headers, body) != "verified"


# Settings


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "scheme"),
        ({"scheme": "md5"}, "scheme"),
        ({"scheme": "github", "header": "X"}, "header"),
        ({"scheme": "hmac"}, "header"),
        ({"scheme": "hmac", "header": "a b"}, "header"),
        ({"scheme": "hmac", "header": "X", "algorithm": "md5"}, "algorithm"),
        ({"scheme": "hmac", "header": "X", "encoding": "base32"}, "encoding"),
        ({"scheme": "hmac", "header": "X", "signed": "no"}, "signed"),
        ({"scheme": "hmac", "header": "X", "signed": "{timestamp}{body}"}, "signed"),
        ({"scheme": "hmac", "header": "X", "timestamp_header": "T", "signed": "{body}"}, "signed"),
        ({"scheme": "hmac", "header": "X", "prefix": 7}, "prefix"),
        ({"scheme": "stripe", "tolerance": "soon"}, "tolerance"),
        ({"scheme": "token", "header": "X", "algorithm": "sha1"}, "algorithm"),
    ],
)
def test_settings_that_cannot_be_say_which(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(BadVerification) as refused:
        verification_of(settings)
    assert (refused.value.code, refused.value.field) == ("bad-verification", field)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%", "whsec_" + "A" * 8, "whsec_" + "A" * 200])
def test_a_secret_that_cannot_sign_is_told(secret: str) -> None:
    verification = verification_of({"scheme": "standard-webhooks", "secret": "x"})
    assert secret_problem(verification, secret) is not None
    assert secret_problem(verification, new_secret(bytes(32))) is None
    assert secret_bytes(new_secret(bytes(32))) == bytes(32)
    assert verification.tolerance == 5 * MINUTE
