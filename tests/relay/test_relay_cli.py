"""`streamxr-relay` as an operator runs it: a real process, real signals."""

from __future__ import annotations

import signal
import socket

import pytest
from click.testing import CliRunner
from relay_process import serving
from relay_server import PATIENCE_S, Client
from streamxr.relay.cli import main
from websockets.sync.client import connect


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_the_exit_status_is_0(stop: signal.Signals) -> None:
    with serving("--drain-seconds", "0.1") as (process, port):
        with connect(f"ws://127.0.0.1:{port}/ws/hall", subprotocols=["streamxr.v1"]) as line:
            client = Client(line)
            client.say({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"})
            client.hear("welcome")
            process.send_signal(stop)
            client.hear("drain")
            assert client.hear_close() == 1012
        assert process.wait(PATIENCE_S) == 0


def test_a_second_signal_does_not_wait() -> None:
    with (
        serving("--drain-seconds", "3600") as (process, port),
        connect(f"ws://127.0.0.1:{port}/ws/hall", subprotocols=["streamxr.v1"]) as line,
    ):
        client = Client(line)
        process.send_signal(signal.SIGINT)
        client.hear("drain")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0


def test_an_option_may_be_set_in_the_environment() -> None:
    with (
        serving(STREAMXR_RELAY_ORIGIN="https://a.example https://b.example") as (_, port),
        connect(f"ws://127.0.0.1:{port}/ws/hall", subprotocols=["streamxr.v1"], origin="http://localhost:8080") as line,
    ):
        assert Client(line).hear_close() == 4403


def test_more_than_one_worker_is_refused_with_the_reason() -> None:
    result = CliRunner().invoke(main, ["serve", "--workers", "2"])
    assert result.exit_code == 2
    assert "a room lives in one process" in result.output


def test_a_port_that_is_taken_is_a_clear_error() -> None:
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
