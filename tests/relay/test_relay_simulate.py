"""`streamxr-relay simulate`: simulated participants in a real relay."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import struct
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pose_codec import unpack_body
from relay_process import RELAY, serving
from relay_server import TIMEOUT_S, eventually, running_relay
from streamxr.relay.simulation.client import SimulatedRoom
from streamxr.relay.simulation.client_socket import ClientSocket
from streamxr.relay.simulation.load import Load, Plan
from streamxr.relay.simulation.statistics import AgeHistogram
from streamxr.relay.simulation.throws import CARRY_STEPS, GROUND_MM, Carry
from streamxr.relay.simulation.walks import FLAGS, LOOP_S, STEPS_PER_S, walks

STEPS = LOOP_S * STEPS_PER_S


def simulating(port: int, *options: str) -> subprocess.Popen[str]:
    command = [*RELAY, "simulate", f"ws://127.0.0.1:{port}", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_equal_seeds_give_equal_walks() -> None:
    def bodies(seed: int) -> list[bytes]:
        return [walk.body(step) for room in walks(seed, [3, 2]) for walk in room for step in range(0, STEPS, 50)]

    assert bodies(7) == bodies(7)
    assert bodies(7) != bodies(8)


def test_walks_are_closed_loops_at_a_human_speed() -> None:
    walk = walks(1, [1])[0][0]
    heads = [unpack_body(FLAGS, walk.body(step)).head.p for step in range(STEPS + 1)]
    assert heads[0] == heads[STEPS]
    assert all(1.3 < y < 2.0 for _, y, _ in heads)
    speeds = [
        STEPS_PER_S * ((bx - ax) ** 2 + (bz - az) ** 2) ** 0.5 for (ax, _, az), (bx, _, bz) in itertools.pairwise(heads)
    ]
    assert max(speeds) < 2.5
    assert sum(speeds) / len(speeds) > 0.2


def test_a_thrown_object_flies_from_the_hand_and_lands() -> None:
    hand = (4000, 1000, -3000)
    carry = Carry(id=1, epoch=1, since=10, release=hand)
    assert carry.at(10 + CARRY_STEPS, hand) == hand
    positions = []
    while not carry.landed:
        positions.append(carry.at(11 + CARRY_STEPS + len(positions), (0, 0, 0)))
        assert len(positions) < 10 * STEPS_PER_S
    assert max(y for _, y, _ in positions) > hand[1]
    assert positions[-1][1] == GROUND_MM
    assert abs(positions[-1][0]) < abs(hand[0])


@given(st.lists(st.integers(0, 300), min_size=1), st.floats(0.01, 1.0))
def test_quantiles_of_ages_are_nearest_ranks(ages_ms: list[int], quantile: float) -> None:
    ages = AgeHistogram()
    for ms in ages_ms:
        ages.add((ms + 0.5) / 1000.0)
    ordered = sorted(ages_ms)
    below = [ms for ms in ordered if ms <= (ages.quantile_ms(quantile) or 0.0)]
    assert ages.quantile_ms(quantile) in ordered
    assert len(below) >= quantile * len(ordered) - 1e-6


class Listener:
    def __init__(self) -> None:
        self.events: list[tuple[str, bytes]] = []

    def opened(self, _socket: ClientSocket) -> None:
        self.events.append(("opened", b""))

    def text_received(self, payload: bytes) -> None:
        self.events.append(("text", payload))

    def binary_started(self, buffer: bytes | bytearray, start: int, end: int, size: int) -> None:
        assert end - start >= min(size, 8)
        self.events.append(("binary", bytes(buffer[start : min(end, start + 8)]) + struct.pack("<I", size)))

    def binary_ended(self) -> None:
        self.events.append(("end", b""))

    def lost(self, _code: int, _reason: str) -> None:
        self.events.append(("lost", b""))


def frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_segments_may_split_frames_anywhere(cuts: list[int]) -> None:
    payloads = [(2, b"12345678" * 50), (1, b"{}" * 80), (2, b"1234"), (9, b"ping"), (2, bytes(70_000)), (1, b"{}")]
    stream = b"".join(frame(opcode, payload) for opcode, payload in payloads)

    def events(feed: Callable[[ClientSocket], None]) -> list[tuple[str, bytes]]:
        listener = Listener()
        socket = ClientSocket(listener, "relay", "/ws/hall", "streamxr.v1")
        socket._open = True
        feed(socket)
        return listener.events

    def receive(socket: ClientSocket, data: bytes) -> None:
        socket.get_buffer(-1)[: len(data)] = data
        socket.buffer_updated(len(data))

    def in_pieces(socket: ClientSocket) -> None:
        at = turn = 0
        while at < len(stream):
            # To save time, the middle of the large frame is read in large pieces. The rest is split into small ones.
            size = cuts[turn % len(cuts)] * (1 if at < 700 or at > len(stream) - 100 else 500)
            receive(socket, stream[at : at + size])
            at, turn = at + size, turn + 1

    assert events(in_pieces) == events(lambda socket: receive(socket, stream))


def test_simulated_clients_join_see_each_other_and_leave() -> None:
    with running_relay() as relay:
        with simulating(relay.port, "--participants", "6", "--rooms", "2", "--json") as process:
            assert process.stdout
            figures = [json.loads(process.stdout.readline()) for _ in range(2)]
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, err
        assert figures[-1]["present"] == 6
        total = json.loads(out.splitlines()[-1])["total"]
        assert total["poses_received"] > 0
        assert total["age_p99_ms"] is not None
        assert total["closes"] == {}
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)


def test_a_refused_load_reports_the_reason_and_fails() -> None:
    with (
        running_relay(max_participants=1) as relay,
        relay.join("lobby"),
        simulating(relay.port, "--participants", "1", "--duration", "0.5") as process,
    ):
        _, err = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 1
        assert "4413: the relay is full" in err


def test_grabbed_objects_are_thrown_and_released() -> None:
    async def throw(port: int) -> None:
        load = Load(Plan(f"ws://127.0.0.1:{port}", participants=4, objects=1))
        for client in load.clients:
            client.next_grab = 0
        stop = asyncio.Event()
        running = asyncio.create_task(load.run(stop))
        await until(lambda: load.statistics.thrown > 0)
        await until(lambda: any(state.owner is None and state.epoch > 0 for state in load.rooms[0].objects.values()))
        assert not load.statistics.errors
        stop.set()
        await running

    with running_relay() as relay:
        asyncio.run(throw(relay.port))


@pytest.mark.skipif(sys.platform == "win32", reason="drains on SIGTERM")
def test_200_clients_return_after_a_drain_and_know_exactly_the_others() -> None:
    limits = ("--drain-seconds", "0.5", "--max-participants", "250")
    no_address_limit = {"STREAMXR_RELAY_MAX_PER_ADDRESS": "0"}

    async def drain_and_return() -> None:
        with serving(*limits, **no_address_limit) as (first, port):
            load = Load(Plan(f"ws://127.0.0.1:{port}", participants=200, rooms=2, objects=0))
            stop = asyncio.Event()
            running = asyncio.create_task(load.run(stop))
            await until(lambda: load.statistics.present == 200)
            first.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(first.wait, TIMEOUT_S) == 0
        with serving(*limits, port=port, **no_address_limit):
            await until(lambda: load.statistics.present == 200)
            assert load.statistics.joins == 400
            assert load.statistics.losses[1012] >= 200
            await until(lambda: all(knows_exactly_the_others(room) for room in load.rooms))
            stop.set()
            await running

    asyncio.run(drain_and_return())


def knows_exactly_the_others(room: SimulatedRoom) -> bool:
    clients = room.clients
    return len(clients) == 100 and all(client.present == set(clients) - {pid} for pid, client in clients.items())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3 * TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.05)
