"""Join tokens: their format, their signature, and how the relay checks them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from relay_server import Client, eventually, running_relay
from streamxr.relay.cli import main
from streamxr.relay.protocol.messages import Role
from streamxr.relay.tokens import TICKET_S, Claims, SecretError, TokenError, TokenKeys

SECRET = "s3cret-" * 6
KEYS = TokenKeys([SECRET])
HELLO = {"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"}


def claims(**changes: Any) -> Claims:
    return Claims(**{"room": "hall", "sub": "ada", "role": Role.EDITOR, "exp": int(time.time()) + 60} | changes)


def signed(payload: bytes, secret: str = SECRET) -> str:
    """A signed token with any payload, as another program could make it."""
    body = base64.urlsafe_b64encode(payload).rstrip(b"=")
    signature = base64.urlsafe_b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).rstrip(b"=")
    return f"{body.decode()}.{signature.decode()}"


def test_a_token_holds_the_signed_claims() -> None:
    assert KEYS.check(KEYS.sign(claims())) == claims()


def test_any_program_with_the_secret_can_make_a_token() -> None:
    payload = {"v": 1, "room": "*", "sub": "zoë", "role": "owner", "exp": 2**33}
    assert KEYS.check(signed(json.dumps(payload).encode())) == Claims("*", "zoë", Role.OWNER, 2**33)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"v":2,"room":"hall","sub":"a","role":"editor","exp":9999999999}',
        b'{"v":1,"room":"a/b","sub":"a","role":"editor","exp":9999999999}',
        b'{"v":1,"room":"hall","sub":"","role":"editor","exp":9999999999}',
        b'{"v":1,"room":"hall","sub":7,"role":"editor","exp":9999999999}',
        b'{"v":1,"room":"hall","sub":"a","role":"king","exp":9999999999}',
        b'{"v":1,"room":"hall","sub":"a","role":"editor","exp":"never"}',
        b'{"v":1,"room":"hall","sub":"a","role":"editor","exp":1e99}',
        b'{"v":1,"room":"hall","sub":"a","role":"editor"}',
    ],
)
def test_a_signed_token_with_malformed_claims_is_refused(payload: bytes) -> None:
    with pytest.raises(TokenError):
        KEYS.check(signed(payload))


def test_an_expired_token_is_refused() -> None:
    with pytest.raises(TokenError, match="expired"):
        KEYS.check(KEYS.sign(claims(exp=int(time.time()))))


def test_a_ticket_admits_after_its_token_has_expired_and_does_not_prolong_itself() -> None:
    expired = claims(room="*", exp=int(time.time()) - 60)
    back = KEYS.check_ticket(KEYS.ticket(expired, "hall"))
    assert back == claims(exp=expired.exp)
    assert KEYS.check_ticket(KEYS.ticket(back, "hall")) == back
    with pytest.raises(TokenError, match="expired"):
        KEYS.check_ticket(KEYS.ticket(claims(exp=int(time.time()) - TICKET_S), "hall"))


def test_a_ticket_is_no_token_and_a_token_no_ticket() -> None:
    with pytest.raises(TokenError):
        KEYS.check(KEYS.ticket(claims(), "hall"))
    with pytest.raises(TokenError):
        KEYS.check_ticket(KEYS.sign(claims()))


def test_a_token_of_another_secret_is_refused() -> None:
    with pytest.raises(TokenError):
        KEYS.check(TokenKeys(["another-" * 5]).sign(claims()))


@given(st.integers(0, 300), st.characters(codec="ascii"))
def test_a_token_with_one_changed_character_is_refused(index: int, character: str) -> None:
    token = KEYS.sign(claims())
    index %= len(token)
    forged = token[:index] + character + token[index + 1 :]
    if forged == token:
        return
    # The last character of a signature has unused bits, which must match too.
    with pytest.raises(TokenError):
        KEYS.check(forged)


def test_a_new_secret_before_the_old_one_replaces_it_gradually() -> None:
    new = "new-" * 8
    both = TokenKeys([new, SECRET])
    assert both.check(KEYS.sign(claims())) == claims()
    assert TokenKeys([new]).check(both.sign(claims())) == claims()
    with pytest.raises(TokenError):
        KEYS.check(both.sign(claims()))


@pytest.mark.parametrize("secrets", [[], ["short"], [SECRET, "short"]])
def test_a_weak_secret_is_refused_and_not_shown(secrets: list[str]) -> None:
    with pytest.raises(SecretError) as raised:
        TokenKeys(secrets)
    assert "short" not in str(raised.value).replace("too short", "")


def test_the_command_prints_a_token_and_no_secret(tmp_path: Path) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_text(SECRET + "\n")
    arguments = ["token", "--room", "hall", "--sub", "ada", "--role", "viewer", "--ttl", "60"]
    for secret_option, environment in (
        (["--token-secret-file", str(secret_file)], {}),
        ([], {"STREAMXR_RELAY_TOKEN_SECRET": SECRET}),
    ):
        result = CliRunner().invoke(main, arguments + secret_option, env=environment)
        assert result.exit_code == 0, result.output
        assert SECRET not in result.output
        signed_claims = KEYS.check(result.output.strip())
        assert (signed_claims.room, signed_claims.sub, signed_claims.role) == ("hall", "ada", Role.VIEWER)


@pytest.mark.parametrize(
    ("environment", "message"),
    [({}, "a secret is required"), ({"STREAMXR_RELAY_TOKEN_SECRET": "hunter2"}, "at least 32 characters")],
)
def test_the_command_reports_a_missing_or_weak_secret_without_printing_it(
    environment: dict[str, str], message: str
) -> None:
    result = CliRunner().invoke(main, ["token", "--room", "hall", "--sub", "ada"], env=environment)
    assert result.exit_code != 0
    assert message in result.output
    assert "hunter2" not in result.output


def test_only_a_token_for_the_room_allows_to_join() -> None:
    with running_relay(tokens=KEYS) as relay:

        def close_code(**hello: str) -> int | None:
            with relay.connect("hall") as connection:
                connection.send(json.dumps(HELLO | hello))
                return Client(connection).close_code()

        assert close_code() == 4401
        assert close_code(token="forged.token") == 4401
        assert close_code(token=KEYS.sign(claims(exp=1))) == 4401
        assert close_code(token=KEYS.sign(claims(room="cellar"))) == 4403
        for room, role in (("hall", Role.VIEWER), ("*", Role.OWNER)):
            with relay.connect("hall") as connection:
                client = Client(connection)
                client.send(HELLO | {"token": KEYS.sign(claims(room=room, role=role))})
                assert client.receive("welcome")["role"] == role


def test_an_expired_token_locks_nobody_out_of_their_seat_or_of_a_restarted_relay() -> None:
    short = KEYS.sign(claims(exp=int(time.time()) + 2))
    with running_relay(tokens=KEYS) as relay, relay.connect("hall") as connection:
        first = Client(connection)
        first.send(HELLO | {"token": short})
        welcome = first.receive("welcome")
        eventually(lambda: time.time() > KEYS.check_ticket(welcome["ticket"]).exp)
        comeback = HELLO | {"token": short, "ticket": welcome["ticket"]}
        with relay.connect("hall") as again:
            second = Client(again)
            second.send(comeback | {"resume": welcome["resume"]})
            assert second.receive("welcome")["pid"] == welcome["pid"]
        with relay.connect("cellar") as elsewhere:
            elsewhere.send(json.dumps(comeback))
            assert Client(elsewhere).close_code() == 4403
    with running_relay(tokens=KEYS) as restarted, restarted.connect("hall") as connection:
        client = Client(connection)
        client.send(comeback)
        assert client.receive("welcome")["role"] == Role.EDITOR
