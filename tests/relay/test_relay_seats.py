"""Seats: kept for a limited time for participants who lost their connection, and for no one else."""

from __future__ import annotations

import pytest
from streamxr.relay.connection import ConnectionLimits
from streamxr.relay.protocol.control import encode_control
from streamxr.relay.protocol.messages import (
    Error,
    ErrorCode,
    Grab,
    Grabbed,
    Hello,
    Left,
    Point,
    ProtocolError,
    Released,
    Role,
    RoomLimits,
    Signal,
    SignalFrom,
    Spawn,
    Spawned,
    Updated,
    Welcome,
)
from streamxr.relay.rooms.objects import SavedRoom, SharedObjects
from streamxr.relay.rooms.room import (
    GRACE_S,
    SIGNAL_SENT_PER_S,
    Broadcast,
    Credentials,
    Effect,
    Room,
    RoomFullError,
    Send,
)

ADA = Hello(1, "Ada", "#ff8800")
ZOE = Hello(1, "Zoë", "#00ff00")
ORIGIN = Point((0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def a_room(seats: int = 10) -> Room:
    return Room(RoomLimits(seats, objects=10, poses_per_s=90, control_per_s=20, control_bytes=16384), tick_hz=30)


def welcome_of(effects: list[Effect]) -> Welcome:
    (message,) = [effect.message for effect in effects if isinstance(effect.message, Welcome)]
    return message


def returning(welcome: Welcome, rev: int | None = None, incarnation: str | None = None) -> Hello:
    return Hello(1, "Ada", "#ff8800", None, welcome.resume, incarnation or welcome.incarnation, rev)


def test_after_a_lost_connection_the_key_gives_the_same_seat() -> None:
    room = a_room()
    ada, effects = room.join(ADA, 0.0)
    welcome = welcome_of(effects)
    assert room.lose(ada, 1.0) == [Broadcast(Updated(ada, "Ada", "#ff8800", away=True))]
    assert room.lose(ada, 2.0) == [], "it is announced once"
    again, effects = room.join(returning(welcome), 20.0)
    assert again == ada
    assert Broadcast(Updated(ada, "Ada", "#ff8800"), skip=ada) in effects
    assert room.advance(100.0) == []


def test_a_seat_is_kept_for_30_s() -> None:
    room = a_room()
    ada, effects = room.join(ADA, 0.0)
    room.lose(ada, 1.0)
    assert room.advance(1.0 + GRACE_S - 0.1) == []
    assert room.advance(1.0 + GRACE_S) == [Broadcast(Left(ada))]
    assert room.join(returning(welcome_of(effects)), 32.0)[0] != ada


def test_a_wrong_key_affects_no_seat() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    zoe, _ = room.join(ZOE, 0.0)
    room.lose(zoe, 1.0)
    before = room.participants
    for key in ("", "x", "none", "A" * 22):
        thief, effects = room.join(Hello(1, "Eve", "#000000", None, key), 2.0)
        assert thief not in (ada, zoe)
        assert room.participants[:2] == before
        assert not any(isinstance(effect.message, Left | Updated) for effect in effects)


def test_a_key_does_not_give_the_seat_of_another_subject() -> None:
    room = a_room()
    ada, effects = room.join(ADA, 0.0, Credentials(Role.OWNER, "ada"))
    room.lose(ada, 1.0)
    thief, _ = room.join(returning(welcome_of(effects)), 2.0, Credentials(Role.EDITOR, "eve"))
    assert thief != ada


def test_a_key_of_one_room_gives_no_seat_in_another() -> None:
    room, other_room = a_room(), a_room()
    _, effects = room.join(ADA, 0.0)
    zoe, _ = other_room.join(ZOE, 0.0)
    thief, _ = other_room.join(returning(welcome_of(effects)), 1.0)
    assert thief != zoe


def test_a_key_is_sent_to_its_owner_only() -> None:
    room = a_room()
    room.join(ZOE, 0.0)
    ada, effects = room.join(ADA, 0.0)
    key = welcome_of(effects).resume
    with_key = [effect for effect in effects if key in repr(effect)]
    assert [effect.to for effect in with_key if isinstance(effect, Send)] == [ada]
    assert len(with_key) == 1


def test_the_role_is_that_of_the_newest_token() -> None:
    room = a_room()
    ada, effects = room.join(ADA, 0.0, Credentials(Role.OWNER, "ada"))
    _, effects = room.join(returning(welcome_of(effects)), 1.0, Credentials(Role.VIEWER, "ada"))
    assert welcome_of(effects).role is Role.VIEWER
    (denied,) = room.handle(ada, Spawn(1, "chair", ORIGIN, 1.0), 2.0)
    assert isinstance(denied, Send)


def test_a_participant_who_is_away_keeps_the_lease_until_it_expires() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    room.handle(ada, Spawn(1, "chair", ORIGIN, 1.0), 0.0)
    room.handle(ada, Grab(1), 0.0)
    room.lose(ada, 1.0)
    assert room.advance(4.9) == []
    (effect,) = room.advance(5.0)
    assert isinstance(effect, Broadcast)
    assert isinstance(effect.message, Released)


def test_a_returning_client_gets_exactly_the_missed_events() -> None:
    room = a_room()
    ada, effects = room.join(ADA, 0.0)
    welcome = welcome_of(effects)
    room.handle(ada, Spawn(1, "chair", ORIGIN, 1.0), 0.0)
    room.lose(ada, 1.0)
    zoe, _ = room.join(ZOE, 1.0)
    room.handle(zoe, Grab(1), 2.0)
    _, effects = room.join(returning(welcome, rev=1), 3.0)
    sent = [effect.message for effect in effects if isinstance(effect, Send)]
    assert isinstance(sent[0], Welcome)
    assert (sent[0].rev, sent[0].objects) == (1, None)
    assert sent[1:] == [Grabbed(2, 1, zoe, 1, 5000)]


@pytest.mark.parametrize(("rev", "incarnation"), [(1, "another"), (99, None), (None, None)])
def test_a_client_that_knows_another_incarnation_or_rev_gets_a_snapshot(
    rev: int | None, incarnation: str | None
) -> None:
    room = a_room()
    ada, effects = room.join(ADA, 0.0)
    room.handle(ada, Spawn(1, "chair", ORIGIN, 1.0), 0.0)
    _, effects = room.join(returning(welcome_of(effects), rev, incarnation), 1.0)
    welcome = welcome_of(effects)
    assert welcome.rev == 1
    assert welcome.objects
    assert welcome.objects[0].asset == "chair"


def test_each_room_has_its_own_incarnation() -> None:
    assert a_room().incarnation != a_room().incarnation


def test_a_full_room_evicts_the_participant_who_is_away_for_the_longest_time() -> None:
    room = a_room(seats=2)
    ada, _ = room.join(ADA, 0.0)
    room.join(ZOE, 0.0)
    room.lose(ada, 1.0)
    bob, effects = room.join(Hello(1, "Bob", "#000000"), 2.0)
    assert effects[0] == Broadcast(Left(ada))
    assert bob != ada
    with pytest.raises(RoomFullError):
        room.join(ADA, 3.0)


def test_a_signal_reaches_only_its_receiver() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    zoe, _ = room.join(ZOE, 0.0)
    room.join(ZOE, 0.0)
    assert room.handle(ada, Signal(zoe, "offer"), 0.0) == [Send(zoe, SignalFrom(ada, "offer"))]


def test_a_signal_to_an_absent_participant_is_answered_with_an_error() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    zoe, _ = room.join(ZOE, 0.0)
    room.lose(zoe, 0.0)
    for to in (zoe, 99):
        (effect,) = room.handle(ada, Signal(to, "offer"), 0.0)
        assert isinstance(effect, Send)
        assert isinstance(effect.message, Error)
        assert (effect.to, effect.message.code) == (ada, ErrorCode.ABSENT)


def test_signals_are_limited_by_characters_per_second() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    zoe, _ = room.join(ZOE, 0.0)
    for _ in range(8):
        room.handle(ada, Signal(zoe, "x" * (SIGNAL_SENT_PER_S // 2)), 0.0)
    with pytest.raises(ProtocolError) as raised:
        room.handle(ada, Signal(zoe, "x"), 0.0)
    assert raised.value.code is ErrorCode.RATE
    room.handle(ada, Signal(zoe, "x"), 1.0)


def test_many_senders_cannot_flood_one_receiver() -> None:
    room = a_room()
    zoe, _ = room.join(ZOE, 0.0)
    received = 0
    for _ in range(6):
        eve, _ = room.join(ADA, 0.0)
        for _ in range(8):
            (effect,) = room.handle(eve, Signal(zoe, "x" * 8192), 0.0)
            received += 8192 * isinstance(effect.message, SignalFrom)
    assert received == 2 * 65_536


def test_the_counters_of_a_saved_room_continue_without_objects() -> None:
    room = Room(a_room().limits, 30, SharedObjects(10, SavedRoom(rev=8, last_id=3)))
    ada, effects = room.join(ADA, 0.0)
    assert welcome_of(effects).rev == 8
    (effect,) = room.handle(ada, Spawn(1, "chair", ORIGIN, 1.0), 0.0)
    assert isinstance(effect.message, Spawned)
    assert (effect.message.rev, effect.message.id) == (9, 4)


def test_the_largest_welcome_fits_the_queue_of_control_messages() -> None:
    """Otherwise newcomers could not join a room with the longest names."""
    limits = RoomLimits(1000, objects=500, poses_per_s=90, control_per_s=20, control_bytes=16384)
    room = Room(limits, tick_hz=30)
    pose = Point((-1234.567891, 1234.567891, -1234.567891), (-0.123456, -0.123456, -0.123456, -0.123456))
    for _ in range(999):
        ada, effects = room.join(Hello(1, "🦊" * 64, "#ff8800"), 0.0)
    for _ in range(500):
        room.handle(ada, Spawn(2**32 - 1, "a" * 128, pose, 123.456789), 0.0)
    _, effects = room.join(ADA, 0.0)
    assert len(encode_control(welcome_of(effects)).encode()) < ConnectionLimits().control_queue_bytes
