"""Logs of the relay: one line per event, with room and participant."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import threading
import time
from typing import Any

import pytest
from raw_websocket import TEXT, RawWebSocket, frame
from relay_process import RELAY, serving
from relay_server import TIMEOUT_S, Client
from streamxr.relay.logs import JsonFormatter, KindLimit, LogQueue, TextFormatter, with_context
from websockets.sync.client import connect


def formatted(formatter: logging.Formatter, write: Any) -> str:
    """The only line that `write` logs."""
    lines: list[str] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    logger = logging.Logger("streamxr.test")
    logger.addHandler(Recorder())
    write(logger)
    assert len(lines) == 1
    return lines[0]


def test_a_line_about_a_participant_has_room_and_participant() -> None:
    def write(logger: logging.Logger) -> None:
        log = with_context(logger, room="hall")
        log.add(participant=7)
        log.warning("left: %s", "gone", extra={"code": 1006})

    line = json.loads(formatted(JsonFormatter(), write))
    assert line["time"].endswith("Z")
    assert {name: line[name] for name in ("level", "message", "room", "participant", "code")} == {
        "level": "warning",
        "message": "left: gone",
        "room": "hall",
        "participant": 7,
        "code": 1006,
    }
    assert formatted(TextFormatter(), write) == "WARNING streamxr.test: left: gone room=hall participant=7 code=1006"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_text_from_a_client_cannot_forge_a_line(formatter: logging.Formatter) -> None:
    assert "\n" not in formatted(formatter, lambda logger: logger.info("refused %s", "x\nINFO forged"))


def test_an_exception_is_logged_with_its_traceback() -> None:
    def write(logger: logging.Logger) -> None:
        try:
            raise ValueError("broken")
        except ValueError:
            with_context(logger, room="hall").exception("the room failed")

    line = json.loads(formatted(JsonFormatter(), write))
    assert "ValueError: broken" in line["exception"]
    assert line["room"] == "hall"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_event_is_one_line_of_visible_characters(formatter: logging.Formatter) -> None:
    hostile = "\x1b[2J\r\nINFO forged\x00\x7f\x9b\u2028\u202e\u200b\ud800 Zoë"

    def write(logger: logging.Logger) -> None:
        try:
            raise ValueError(hostile)
        except ValueError:
            logger.exception("refused %s", hostile)

    line = formatted(formatter, write)
    assert line.isprintable()
    assert line.encode("utf-8")  # no lone surrogate
    assert "ValueError" in line


def test_lines_of_one_kind_are_limited_and_counted() -> None:
    now = 0.0
    limit = KindLimit(lambda: now)

    def passes(text: str, *args: object) -> str | None:
        record = logging.LogRecord("streamxr.test", logging.WARNING, "", 0, text, args, None)
        return record.getMessage() if limit.filter(record) else None

    flood = [passes("refused %d", number) for number in range(1_000)]
    assert [line for line in flood if line] == [f"refused {number}" for number in range(100)]
    assert passes("something else %d", 1) == "something else 1"
    now = 1.0
    assert passes("refused %d", 1_000) == "refused 1000 (900 more like this were left out)"
    assert passes("refused %d", 1_001) is None


@pytest.mark.parametrize("option", ["--fast-path", "--no-fast-path"])
def test_text_that_is_not_utf_8_is_no_fault_of_the_relay(option: str) -> None:
    with serving(option, STREAMXR_RELAY_DRAIN_SECONDS="0") as (process, port):
        client = RawWebSocket(port)
        client.hello()
        client.send(frame(TEXT, b"\xff\x1b[2J"))
        assert client.close_code() == 1007
        client.abort()
        assert process.stderr
        lines = [process.stderr.readline(), process.stderr.readline()]
    assert lines == [
        "INFO streamxr.relay: joined room=hall participant=1\n",
        "INFO streamxr.relay: connection lost room=hall participant=1 code=1007\n",
    ]


def test_joining_and_leaving_are_logged_with_the_reason() -> None:
    with serving(STREAMXR_RELAY_LOG_FORMAT="json", STREAMXR_RELAY_DRAIN_SECONDS="0") as (process, port):
        for room in ("hall", "attic"):
            with connect(f"ws://127.0.0.1:{port}/ws/{room}", subprotocols=["streamxr.v1"]) as connection:
                client = Client(connection)
                client.send({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"})
                client.receive("welcome")
                if room == "attic":
                    client.flood("[]", 200)
                    assert client.close_code() == 4429
        process.terminate()
        _, err = process.communicate(timeout=TIMEOUT_S)
    lines = [json.loads(line) for line in err.splitlines()]
    events = [(line.get("room"), line.get("participant"), line["message"].partition(":")[0]) for line in lines]
    for room, end in (("hall", "left"), ("attic", "connection lost")):
        assert events.index((room, 1, "joined")) < events.index((room, 1, end))
    closed = next(line for line in lines if line.get("code") == 4429)
    assert "too many offences" in closed["message"]
    assert not any("Ada" in line for line in err.splitlines())  # names are personal data


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux can resize a pipe")
def test_an_unread_log_does_not_block_the_relay() -> None:
    sessions = 60  # with two lines each, more than the pipe holds
    with serving("--drain-seconds", "0") as (process, port):
        assert process.stderr
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        for _ in range(sessions):
            with connect(f"ws://127.0.0.1:{port}/ws/hall", subprotocols=["streamxr.v1"]) as connection:
                client = Client(connection)
                client.send({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"})
                client.receive("welcome")
        process.terminate()
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert err.count("joined") == sessions  # late, but not lost


def test_log_lines_beyond_the_limit_are_counted(capfd: pytest.CaptureFixture[str]) -> None:
    queue = LogQueue(3)
    log = logging.Logger("streamxr.test")
    log.addHandler(queue)
    for number in range(5):
        log.warning("line %d", number)
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter())
    writer = threading.Thread(target=queue.write_to, args=(handler,))
    writer.start()
    while queue.queued:
        time.sleep(0.01)
    queue.end()
    writer.join(TIMEOUT_S)
    assert not writer.is_alive()
    written = capfd.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in written] == [
        "line 0",
        "line 1",
        "line 2",
        "2 log lines are lost, because stderr was not read",
    ]


def test_every_option_of_serve_has_an_environment_variable() -> None:
    help_text = subprocess.run(
        [*RELAY, "serve", "--help"], capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"}
    ).stdout
    options = {line.split()[0] for line in help_text.splitlines() if line.startswith("  --")}
    assert len(options) > 10
    for option in options:
        assert "STREAMXR_RELAY_" + option[2:].replace("-", "_").upper() in help_text, option
