"""`streamxr-relay` as an operator runs it: processes, signals and messages."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack

import pytest
from click.testing import CliRunner
from relay_process import serving
from relay_server import TIMEOUT_S, Client
from streamxr.relay.cli import main
from websockets.sync.client import connect


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_the_exit_status_is_0(stop: signal.Signals) -> None:
    with serving("--drain-seconds", "0.1") as (process, port):
        with connect(f"ws://127.0.0.1:{port}/ws/hall", subprotocols=["streamxr.v1"]) as connection:
            client = Client(connection)
            client.send({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"})
            client.receive("welcome")
            process.send_signal(stop)
            client.receive("drain")
            assert client.close_code() == 1012
        assert process.wait(TIMEOUT_S) == 0


def test_a_second_signal_stops_the_relay_at_once() -> None:
    with (
        serving("--drain-seconds", "3600") as (process, port),
        connect(f"ws://127.0.0.1:{port}/ws/hall", subprotocols=["streamxr.v1"]) as connection,
    ):
        client = Client(connection)
        process.send_signal(signal.SIGINT)
        client.receive("drain")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0


def test_an_option_can_be_set_by_an_environment_variable() -> None:
    with (
        serving(STREAMXR_RELAY_ORIGIN="https://a.example https://b.example") as (_, port),
        connect(
            f"ws://127.0.0.1:{port}/ws/hall", subprotocols=["streamxr.v1"], origin="http://localhost:8080"
        ) as connection,
    ):
        assert Client(connection).close_code() == 4403


def test_at_120_ticks_a_second_a_pose_for_each_tick_is_allowed() -> None:
    with (
        serving("--tick-hz", "120") as (_, port),
        connect(f"ws://127.0.0.1:{port}/ws/hall", subprotocols=["streamxr.v1"]) as connection,
    ):
        client = Client(connection)
        client.send({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"})
        welcome = client.receive("welcome")
        assert welcome["tick_hz"] == 120
        assert welcome["limits"]["poses_per_s"] >= 120


def test_a_limit_of_open_files_refuses_clients_instead_of_leaving_them_without_an_answer() -> None:
    with serving(descriptors=84) as (process, port), ExitStack() as stack:
        url = f"ws://127.0.0.1:{port}/ws/hall"

        def client() -> Client:
            return Client(stack.enter_context(connect(url, subprotocols=["streamxr.v1"])))

        for _ in range(20):
            client()
        assert client().close_code() == 4413
        assert client().close_code() == 4413
        process.kill()
        log = process.communicate()[1]
    assert "at most 20 connections instead of 2000" in log
    assert log.count("all 20 connections are taken") == 1


def test_more_than_one_worker_is_refused_with_the_reason() -> None:
    result = CliRunner().invoke(main, ["serve", "--workers", "2"])
    assert result.exit_code == 2
    assert "a room lives in one process" in result.output


def test_the_error_for_a_used_port_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["serve", "--port", str(port)])
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in result.output
    assert "Traceback" not in result.output


def test_help_shows_examples_and_variables() -> None:
    result = CliRunner().invoke(main, ["serve", "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert "STREAMXR_RELAY_PORT" in result.output
