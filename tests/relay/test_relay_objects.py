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
HERE = Point((0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
THERE = Point((2.0, 1.0, -1.0), (0.0, 0.6, 0.0, 0.8))


def with_a_chair(limit: int = 10) -> SharedObjects:
    objects = SharedObjects(limit)
    assert ask(objects, ADA, Spawn(7, "chair", HERE, 1.0)) == Spawned(1, 1, ADA, 7, "chair", HERE, 1.0)
    return objects


def ask(objects: SharedObjects, pid: int, message: ObjectMessage, now: float = 0.0, role: Role = Role.EDITOR) -> object:
    """The one thing that follows."""
    (outcome,) = objects.handle(pid, role, message, now)
    return outcome


def move_to(point: Point, epoch: int, object_id: int = 1) -> Move:
    flags, packed = pack_point(point)
    return Move(object_id, epoch, flags, 0, packed)


def reason(outcome: object) -> Refusal:
    assert isinstance(outcome, Denied)
    return outcome.reason


def test_the_first_grab_wins() -> None:
    objects = with_a_chair()
    assert ask(objects, ADA, Grab(1)) == Grabbed(2, 1, ADA, 1, 5000)
    denied = ask(objects, ZOE, Grab(1))
    assert reason(denied) is Refusal.HELD
    assert isinstance(denied, Denied)
    assert denied.object
    assert (denied.object.owner, denied.object.epoch) == (ADA, 1)
    assert objects.rev == 2, "a denial is no event"


def test_each_grab_has_an_epoch_of_its_own() -> None:
    objects = with_a_chair()
    ask(objects, ADA, Grab(1))
    ask(objects, ADA, Release(1, 1, THERE))
    assert ask(objects, ZOE, Grab(1)) == Grabbed(4, 1, ZOE, 2, 5000)


def test_a_release_of_an_old_epoch_is_stale() -> None:
    objects = with_a_chair()
    ask(objects, ADA, Grab(1))
    objects.expire(LEASE_S)
    ask(objects, ADA, Grab(1), LEASE_S)
    assert reason(ask(objects, ADA, Release(1, 1, THERE), LEASE_S)) is Refusal.STALE
    assert reason(ask(objects, ZOE, Release(1, 2, THERE), LEASE_S)) is Refusal.STALE


def test_an_expired_lease_is_broadcast_as_a_release_where_it_was_moved_to() -> None:
    objects = with_a_chair()
    ask(objects, ADA, Grab(1))
    objects.move(ADA, [move_to(THERE, 1)], 1.0)
    assert objects.expire(LEASE_S + 0.9) == []
    (released,) = objects.expire(LEASE_S + 1.0)
    assert isinstance(released, Released)
    assert released.cause is Cause.EXPIRED
    assert released.pose.p == pytest.approx(THERE.p)
    assert objects.snapshot()[0].owner is None


def test_an_expired_lease_ends_before_what_is_asked_for_next() -> None:
    objects = with_a_chair()
    ask(objects, ADA, Grab(1))
    released, grabbed = objects.handle(ZOE, Role.EDITOR, Grab(1), LEASE_S)
    assert isinstance(released, Released)
    assert grabbed == Grabbed(4, 1, ZOE, 2, 5000)


def test_moves_renew_the_lease_even_when_nothing_moves() -> None:
    objects = with_a_chair()
    ask(objects, ADA, Grab(1))
    for second in range(1, 20):
        objects.move(ADA, [move_to(HERE, 1)], float(second))
        assert objects.expire(float(second)) == []


def test_a_lease_that_ran_out_is_not_renewed() -> None:
    objects = with_a_chair()
    ask(objects, ADA, Grab(1))
    objects.move(ADA, [move_to(THERE, 1)], LEASE_S)
    (released,) = objects.expire(LEASE_S)
    assert isinstance(released, Released)
    assert released.pose == HERE


@pytest.mark.parametrize(("pid", "epoch"), [(ZOE, 1), (ADA, 0), (ADA, 2)])
def test_nobody_else_and_no_other_epoch_moves_an_object(pid: int, epoch: int) -> None:
    objects = with_a_chair()
    ask(objects, ADA, Grab(1))
    objects.move(pid, [move_to(THERE, epoch)], 1.0)
    assert objects.snapshot()[0].pose == HERE


def test_who_leaves_lets_go() -> None:
    objects = with_a_chair()
    ask(objects, ADA, Grab(1))
    assert objects.leave(ZOE) == []
    assert objects.leave(ADA) == [Released(3, 1, 1, HERE, Cause.LEFT)]


def test_a_viewer_changes_nothing() -> None:
    objects = with_a_chair()
    for message in (Spawn(1, "chair", HERE, 1.0), Grab(1), Release(1, 0, HERE), Delete(1)):
        assert reason(ask(objects, ZOE, message, role=Role.VIEWER)) is Refusal.ROLE
    assert objects.rev == 1


def test_only_an_owner_takes_and_deletes_what_somebody_else_holds() -> None:
    objects = with_a_chair()
    ask(objects, ADA, Grab(1))
    objects.move(ADA, [move_to(THERE, 1)], 0.1)
    assert reason(ask(objects, ZOE, Delete(1))) is Refusal.HELD
    assert ask(objects, ZOE, Grab(1), role=Role.OWNER) == Grabbed(3, 1, ZOE, 2, 5000)
    assert reason(ask(objects, ADA, Release(1, 1, THERE))) is Refusal.STALE
    assert ask(objects, ADA, Delete(1), role=Role.OWNER) == Deleted(4, 1)
    assert len(objects) == 0


def test_an_object_taken_from_somebody_stays_where_it_was_moved_to() -> None:
    objects = with_a_chair()
    ask(objects, ADA, Grab(1))
    objects.move(ADA, [move_to(THERE, 1)], 0.1)
    ask(objects, ZOE, Grab(1), role=Role.OWNER)
    frame = objects.tick(0.2, 200)
    assert frame
    (record,) = decode_moves(frame).records
    assert (record.epoch, record.point) == (2, move_to(THERE, 1).point)


def test_what_is_not_there_is_unknown() -> None:
    objects = with_a_chair()
    for message in (Grab(2), Release(2, 1, HERE), Delete(2)):
        denied = ask(objects, ADA, message)
        assert reason(denied) is Refusal.UNKNOWN
        assert isinstance(denied, Denied)
        assert denied.object is None


def test_a_full_room_takes_no_more_objects() -> None:
    objects = with_a_chair(limit=1)
    denied = ask(objects, ADA, Spawn(9, "table", HERE, 1.0))
    assert denied == Denied("spawn", Refusal.LIMIT, ref=9)
    ask(objects, ADA, Delete(1))
    assert ask(objects, ADA, Spawn(9, "table", HERE, 1.0)) == Spawned(3, 2, ADA, 9, "table", HERE, 1.0)


def test_events_since_a_rev_are_remembered_for_a_while() -> None:
    objects = with_a_chair()
    for _ in range(EVENT_HISTORY // 2):
        epoch = objects.snapshot()[0].epoch + 1
        ask(objects, ADA, Grab(1))
        ask(objects, ADA, Release(1, epoch, THERE))
    rev = objects.rev
    assert objects.events_since(rev) == ()
    missed = objects.events_since(rev - EVENT_HISTORY)
    assert missed is not None
    assert [event.rev for event in missed] == list(range(rev - EVENT_HISTORY + 1, rev + 1))
    assert objects.events_since(rev - EVENT_HISTORY - 1) is None
    assert objects.events_since(rev + 1) is None, "a rev that never was"


def test_a_tick_holds_what_moved_and_once_a_second_all_that_is_held() -> None:
    objects = with_a_chair()
    assert objects.tick(0.0, 0) is None
    ask(objects, ADA, Grab(1))
    objects.move(ADA, [move_to(THERE, 1)], 0.1)
    frame = objects.tick(0.225, 225)
    assert frame
    moves = decode_moves(frame)
    assert (moves.tick_ms, [(r.id, r.epoch, r.age_ms) for r in moves.records]) == (225, [(1, 1, 125)])
    assert objects.tick(0.25, 250) is None
    assert objects.tick(1.1, 1100) is not None
    ask(objects, ADA, Release(1, 1, HERE))
    assert objects.tick(3.0, 3000) is None


def test_what_was_kept_goes_on_where_it_stopped_with_nobody_holding_it() -> None:
    objects = with_a_chair()
    ask(objects, ADA, Grab(1))
    kept = SavedRoom(objects.rev, 5, tuple(replace(one, owner=None) for one in objects.snapshot()))
    again = SharedObjects(10, kept)
    assert again.snapshot()[0].owner is None
    assert ask(again, ZOE, Grab(1)) == Grabbed(3, 1, ZOE, 2, 5000)
    assert ask(again, ZOE, Spawn(1, "table", HERE, 1.0)) == Spawned(4, 6, ZOE, 1, "table", HERE, 1.0)
    assert again.events_since(1) is None, "events of another life are not remembered"
