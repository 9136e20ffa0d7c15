"""Join tokens: who may enter which room in which role, signed with a secret that the relay shares with whoever
lets people in. `docs/protocol.md` has the format.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from .protocol.messages import MAX_TOKEN_CHARACTERS, ROOM_NAME, SUBJECT, Role

VERSION: Final = 1
ANY_ROOM: Final = "*"
MIN_SECRET_CHARACTERS: Final = 32  # 128 bits even as hexadecimal
MAX_EXP: Final = 2**40


class TokenError(Exception):
    """This token lets nobody in; the message may be told to its bearer."""


class SecretError(ValueError):
    """This secret protects nothing; the message does not contain it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """`exp`: seconds since 1970 after which the token is worth nothing."""

    room: str
    sub: str
    role: Role
    exp: int


class TokenKeys:
    """Signs with the first secret and trusts them all, so that a new one can be put before an old one."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """
        Raises:
            SecretError: there is none, or one is too short.
        """
        if not secrets:
            raise SecretError("there is no secret in it")
        if any(len(secret) < MIN_SECRET_CHARACTERS for secret in secrets):
            raise SecretError(f"a secret has at least {MIN_SECRET_CHARACTERS} characters")
        self._secrets = tuple(secret.encode() for secret in secrets)

    def sign(self, claims: Claims) -> str:
        """The token of these claims.

        Raises:
            ValueError: a claim is not what the format allows.
        """
        if claims.room != ANY_ROOM and not ROOM_NAME.fullmatch(claims.room):
            raise ValueError(f"room {claims.room!r}: 1 to 64 of A-Z a-z 0-9 . _ -, or * for every room")
        if not SUBJECT.fullmatch(claims.sub):
            raise ValueError("sub: 1 to 128 printable characters")
        payload = _base64(json.dumps({"v": VERSION} | asdict(claims), separators=(",", ":")).encode())
        token = f"{payload}.{_signature(self._secrets[0], payload)}"
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise ValueError(f"the token would have {len(token)} characters; {MAX_TOKEN_CHARACTERS} are allowed")
        return token

    def check(self, token: str) -> Claims:
        """What a token claims, if one of the secrets signed it and it has not expired.

        Raises:
            TokenError
        """
        payload, _, signature = token.partition(".")
        # Every secret is tried, and compared in constant time: how long it takes tells nothing about either.
        good = [hmac.compare_digest(_signature(secret, payload), signature) for secret in self._secrets]
        if not any(good):
            raise TokenError("a join token is needed here" if not token else "this join token was not signed here")
        claims = _claims(payload)
        if time.time() >= claims.exp:
            raise TokenError("this join token has expired")
        return claims


def _claims(payload: str) -> Claims:
    try:
        fields = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        room, sub, role, exp = fields["room"], fields["sub"], Role(fields["role"]), fields["exp"]
        sound = (
            fields["v"] == VERSION
            and (room == ANY_ROOM or ROOM_NAME.fullmatch(room))
            and SUBJECT.fullmatch(sub)
            and isinstance(exp, int)
            and 0 <= exp <= MAX_EXP
        )
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        sound = False
    if not sound:
        raise TokenError("this join token says something that is not understood here")
    return Claims(room, sub, role, exp)


def _signature(secret: bytes, payload: str) -> str:
    return _base64(hmac.digest(secret, payload.encode(), hashlib.sha256))


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
