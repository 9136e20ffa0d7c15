"""Join tokens: they allow a subject to join a room in a role; and tickets, with which the subject comes back.

A token is signed with a secret that the relay shares with the system that issues tokens. `docs/protocol.md` specifies
the format.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from .protocol.messages import MAX_TOKEN_CHARACTERS, ROOM_NAME, ROOM_NAME_RULE, SUBJECT, Role

VERSION: Final = 1
ANY_ROOM: Final = "*"
MIN_SECRET_CHARACTERS: Final = 32  # 128 bits even as hexadecimal digits
MAX_EXP: Final = 2**40
TICKET_S: Final = 12 * 3600  # time for which a ticket admits its subject after their join token has expired


class TokenError(Exception):
    """The token is not valid. The message may be shown to the client."""


class SecretError(ValueError):
    """The secret is missing or too weak. The message does not contain it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """`exp` is the time after which the token is not valid, in seconds since 1970."""

    room: str
    sub: str
    role: Role
    exp: int


class TokenKeys:
    """Signs with the first secret and accepts all of them, so that a new secret can be put before an old one."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """Raises SecretError if there is no secret or one is too short."""
        if not secrets:
            raise SecretError("contains no secret")
        if any(len(secret) < MIN_SECRET_CHARACTERS for secret in secrets):
            raise SecretError(f"a secret must have at least {MIN_SECRET_CHARACTERS} characters")
        self._secrets = tuple(secret.encode() for secret in secrets)

    def sign(self, claims: Claims) -> str:
        """A token with these claims.

        Raises ValueError if the format does not allow a claim.
        """
        if claims.room != ANY_ROOM and not ROOM_NAME.fullmatch(claims.room):
            raise ValueError(f"room {claims.room!r}: must be {ROOM_NAME_RULE}, or * for every room")
        if not SUBJECT.fullmatch(claims.sub):
            raise ValueError("sub: must be 1 to 128 printable characters")
        payload = _base64(json.dumps({"v": VERSION} | asdict(claims), separators=(",", ":")).encode())
        token = f"{payload}.{_signature(self._secrets[0], payload)}"
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise ValueError(f"the token would have {len(token)} characters; {MAX_TOKEN_CHARACTERS} are allowed")
        return token

    def ticket(self, claims: Claims, room: str) -> str:
        """A ticket for whoever has joined a room: with it they may return until TICKET_S after their token expires.

        A ticket is no join token, so that one ticket never leads to another one that is valid for longer.
        """
        exp = min(claims.exp + TICKET_S, MAX_EXP)
        fields = {"v": VERSION, "ticket": True} | asdict(claims) | {"room": room, "exp": exp}
        payload = _base64(json.dumps(fields, separators=(",", ":")).encode())
        return f"{payload}.{_signature(self._secrets[0], payload)}"

    def check(self, token: str) -> Claims:
        """The claims of a token.

        Raises TokenError if no secret signed the token, if it has expired, or if its claims are malformed.
        """
        return self._check(token, is_ticket=False)

    def check_ticket(self, ticket: str) -> Claims:
        """The claims of a ticket, with the expiry of its join token. Raises TokenError as `check` does."""
        claims = self._check(ticket, is_ticket=True)
        return replace(claims, exp=max(claims.exp - TICKET_S, 0))

    def _check(self, token: str, *, is_ticket: bool) -> Claims:
        payload, _, signature = token.partition(".")
        # Every secret is compared, in constant time, so that the duration reveals nothing about them.
        matches = [hmac.compare_digest(_signature(secret, payload), signature) for secret in self._secrets]
        if not any(matches):
            raise TokenError("a join token is required" if not token else "this join token has no valid signature")
        claims = _claims(payload, is_ticket=is_ticket)
        if time.time() >= claims.exp:
            raise TokenError("this join token has expired")
        return claims


def _claims(payload: str, *, is_ticket: bool) -> Claims:
    try:
        fields = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        room, sub, role, exp = fields["room"], fields["sub"], Role(fields["role"]), fields["exp"]
        valid = (
            fields["v"] == VERSION
            and fields.get("ticket", False) is is_ticket
            and (room == ANY_ROOM or ROOM_NAME.fullmatch(room))
            and SUBJECT.fullmatch(sub)
            and isinstance(exp, int)
            and 0 <= exp <= MAX_EXP
        )
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        valid = False
    if not valid:
        raise TokenError("the claims of this join token are malformed")
    return Claims(room, sub, role, exp)


def _signature(secret: bytes, payload: str) -> str:
    return _base64(hmac.digest(secret, payload.encode(), hashlib.sha256))


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
