"""Operations on shared objects, their leases and their events, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pose_codec import pack_point
from streamxr.relay.protocol.messages import (
    Cause,
    Delete,
    Deleted,
    Denied,
    Grab,
    Grabbed,
    ObjectMessage,
    Point,
    Refusal,
    Release,
    Released,
    Role,
    Spawn,
    Spawned,
)
from streamxr.relay.protocol.moves import Move, decode_moves
from streamxr.relay.rooms.objects import EVENT_HISTORY, LEASE_S, SavedRoom, SharedObjects

ADA, ZOE = 1, 2
ORIGIN = Point((0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
ELSEWHERE = Point((2.0, 1.0, -1.0), (0.0, 0.6, 0.0, 0.8))


def room_with_chair(limit: int = 10) -> SharedObjects:
    objects = SharedObjects(limit)
    assert apply(objects, ADA, Spawn(7, "chair", ORIGIN, 1.0)) == Spawned(1, 1, ADA, 7, "chair", ORIGIN, 1.0)
    return objects


def apply(
    objects: SharedObjects, pid: int, message: ObjectMessage, now: float = 0.0, role: Role = Role.EDITOR
) -> object:
    """The only result of an operation."""
    (outcome,) = objects.handle(pid, role, message, now)
    return outcome


def move_to(point: Point, epoch: int, object_id: int = 1) -> Move:
    flags, packed = pack_point(point)
    return Move(object_id, epoch, flags, 0, packed)


def refusal(outcome: object) -> Refusal:
    assert isinstance(outcome, Denied)
    return outcome.reason


def test_the_first_grab_gets_the_object() -> None:
    objects = room_with_chair()
    assert apply(objects, ADA, Grab(1)) == Grabbed(2, 1, ADA, 1, 5000)
    denied = apply(objects, ZOE, Grab(1))
    assert refusal(denied) is Refusal.HELD
    assert isinstance(denied, Denied)
    assert denied.object
    assert (denied.object.owner, denied.object.epoch) == (ADA, 1)
    assert objects.rev == 2, "a denial is not an event"


def test_each_grab_has_its_own_epoch() -> None:
    objects = room_with_chair()
    apply(objects, ADA, Grab(1))
    apply(objects, ADA, Release(1, 1, ELSEWHERE))
    assert apply(objects, ZOE, Grab(1)) == Grabbed(4, 1, ZOE, 2, 5000)


def test_a_release_of_an_old_epoch_is_stale() -> None:
    objects = room_with_chair()
    apply(objects, ADA, Grab(1))
    objects.expire(LEASE_S)
    apply(objects, ADA, Grab(1), LEASE_S)
    assert refusal(apply(objects, ADA, Release(1, 1, ELSEWHERE), LEASE_S)) is Refusal.STALE
    assert refusal(apply(objects, ZOE, Release(1, 2, ELSEWHERE), LEASE_S)) is Refusal.STALE


def test_an_expired_lease_is_broadcast_as_a_release_at_the_last_pose() -> None:
    objects = room_with_chair()
    apply(objects, ADA, Grab(1))
    objects.move(ADA, [move_to(ELSEWHERE, 1)], 1.0)
    assert objects.expire(LEASE_S + 0.9) == []
    (released,) = objects.expire(LEASE_S + 1.0)
    assert isinstance(released, Released)
    assert released.cause is Cause.EXPIRED
    assert released.pose.p == pytest.approx(ELSEWHERE.p)
    assert objects.snapshot()[0].owner is None


def test_an_expired_lease_ends_before_the_next_operation() -> None:
    objects = room_with_chair()
    apply(objects, ADA, Grab(1))
    released, grabbed = objects.handle(ZOE, Role.EDITOR, Grab(1), LEASE_S)
    assert isinstance(released, Released)
    assert grabbed == Grabbed(4, 1, ZOE, 2, 5000)


def test_moves_renew_the_lease_even_if_the_pose_stays_the_same() -> None:
    objects = room_with_chair()
    apply(objects, ADA, Grab(1))
    for second in range(1, 20):
        objects.move(ADA, [move_to(ORIGIN, 1)], float(second))
        assert objects.expire(float(second)) == []


def test_an_expired_lease_is_not_renewed() -> None:
    objects = room_with_chair()
    apply(objects, ADA, Grab(1))
    objects.move(ADA, [move_to(ELSEWHERE, 1)], LEASE_S)
    (released,) = objects.expire(LEASE_S)
    assert isinstance(released, Released)
    assert released.pose == ORIGIN


@pytest.mark.parametrize(("pid", "epoch"), [(ZOE, 1), (ADA, 0), (ADA, 2)])
def test_only_the_holder_with_the_current_epoch_moves_an_object(pid: int, epoch: int) -> None:
    objects = room_with_chair()
    apply(objects, ADA, Grab(1))
    objects.move(pid, [move_to(ELSEWHERE, epoch)], 1.0)
    assert objects.snapshot()[0].pose == ORIGIN


def test_a_participant_who_leaves_releases_their_objects() -> None:
    objects = room_with_chair()
    apply(objects, ADA, Grab(1))
    assert objects.leave(ZOE) == []
    assert objects.leave(ADA) == [Released(3, 1, 1, ORIGIN, Cause.LEFT)]


def test_a_viewer_changes_nothing() -> None:
    objects = room_with_chair()
    for message in (Spawn(1, "chair", ORIGIN, 1.0), Grab(1), Release(1, 0, ORIGIN), Delete(1)):
        assert refusal(apply(objects, ZOE, message, role=Role.VIEWER)) is Refusal.ROLE
    assert objects.rev == 1


def test_only_an_owner_grabs_and_deletes_objects_of_another_holder() -> None:
    objects = room_with_chair()
    apply(objects, ADA, Grab(1))
    objects.move(ADA, [move_to(ELSEWHERE, 1)], 0.1)
    assert refusal(apply(objects, ZOE, Delete(1))) is Refusal.HELD
    assert apply(objects, ZOE, Grab(1), role=Role.OWNER) == Grabbed(3, 1, ZOE, 2, 5000)
    assert refusal(apply(objects, ADA, Release(1, 1, ELSEWHERE))) is Refusal.STALE
    assert apply(objects, ADA, Delete(1), role=Role.OWNER) == Deleted(4, 1)
    assert len(objects) == 0


def test_an_object_taken_from_its_holder_keeps_its_pose() -> None:
    objects = room_with_chair()
    apply(objects, ADA, Grab(1))
    objects.move(ADA, [move_to(ELSEWHERE, 1)], 0.1)
    apply(objects, ZOE, Grab(1), role=Role.OWNER)
    frame = objects.tick(0.2, 200)
    assert frame
    (record,) = decode_moves(frame).records
    assert (record.epoch, record.point) == (2, move_to(ELSEWHERE, 1).point)


def test_an_operation_on_a_missing_object_is_unknown() -> None:
    objects = room_with_chair()
    for message in (Grab(2), Release(2, 1, ORIGIN), Delete(2)):
        denied = apply(objects, ADA, message)
        assert refusal(denied) is Refusal.UNKNOWN
        assert isinstance(denied, Denied)
        assert denied.object is None


def test_a_full_room_accepts_no_more_objects() -> None:
    objects = room_with_chair(limit=1)
    denied = apply(objects, ADA, Spawn(9, "table", ORIGIN, 1.0))
    assert denied == Denied("spawn", Refusal.LIMIT, ref=9)
    apply(objects, ADA, Delete(1))
    assert apply(objects, ADA, Spawn(9, "table", ORIGIN, 1.0)) == Spawned(3, 2, ADA, 9, "table", ORIGIN, 1.0)


def test_the_latest_events_are_remembered() -> None:
    objects = room_with_chair()
    for _ in range(EVENT_HISTORY // 2):
        epoch = objects.snapshot()[0].epoch + 1
        apply(objects, ADA, Grab(1))
        apply(objects, ADA, Release(1, epoch, ELSEWHERE))
    rev = objects.rev
    assert objects.events_since(rev) == ()
    missed = objects.events_since(rev - EVENT_HISTORY)
    assert missed is not None
    assert [event.rev for event in missed] == list(range(rev - EVENT_HISTORY + 1, rev + 1))
    assert objects.events_since(rev - EVENT_HISTORY - 1) is None
    assert objects.events_since(rev + 1) is None, "a rev that does not exist yet"


def test_a_tick_holds_moved_objects_and_once_per_second_all_held_ones() -> None:
    objects = room_with_chair()
    assert objects.tick(0.0, 0) is None
    apply(objects, ADA, Grab(1))
    objects.move(ADA, [move_to(ELSEWHERE, 1)], 0.1)
    frame = objects.tick(0.225, 225)
    assert frame
    moves = decode_moves(frame)
    assert (moves.tick_ms, [(r.id, r.epoch, r.age_ms) for r in moves.records]) == (225, [(1, 1, 125)])
    assert objects.tick(0.25, 250) is None
    assert objects.tick(1.1, 1100) is not None
    apply(objects, ADA, Release(1, 1, ORIGIN))
    assert objects.tick(3.0, 3000) is None


def test_a_saved_room_continues_without_holders() -> None:
    objects = room_with_chair()
    apply(objects, ADA, Grab(1))
    saved = SavedRoom(objects.rev, 5, tuple(replace(obj, owner=None) for obj in objects.snapshot()))
    restored = SharedObjects(10, saved)
    assert restored.snapshot()[0].owner is None
    assert apply(restored, ZOE, Grab(1)) == Grabbed(3, 1, ZOE, 2, 5000)
    assert apply(restored, ZOE, Spawn(1, "table", ORIGIN, 1.0)) == Spawned(4, 6, ZOE, 1, "table", ORIGIN, 1.0)
    assert restored.events_since(1) is None, "events from before the restart are not remembered"
