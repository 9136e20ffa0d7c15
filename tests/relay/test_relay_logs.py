"""What the relay logs: one line an event, with the room and participant it concerns."""

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
from relay_process import RELAY, serving
from relay_server import PATIENCE_S, Client
from streamxr.relay.logs import JsonFormatter, LogQueue, TextFormatter, with_context
from websockets.sync.client import connect


def written(formatter: logging.Formatter, say: Any) -> str:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    logger = logging.Logger("streamxr.test")
    logger.addHandler(Keep())
    say(logger)
    assert len(lines) == 1
    return lines[0]


def test_a_line_about_a_participant_names_room_and_participant() -> None:
    def say(logger: logging.Logger) -> None:
        log = with_context(logger, room="hall")
        log.add(participant=7)
        log.warning("left: %s", "gone", extra={"code": 1006})

    line = json.loads(written(JsonFormatter(), say))
    assert line["time"].endswith("Z")
    assert {name: line[name] for name in ("level", "message", "room", "participant", "code")} == {
        "level": "warning",
        "message": "left: gone",
        "room": "hall",
        "participant": 7,
        "code": 1006,
    }
    assert written(TextFormatter(), say) == "WARNING streamxr.test: left: gone room=hall participant=7 code=1006"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_what_a_stranger_sent_cannot_forge_a_line(formatter: logging.Formatter) -> None:
    assert "\n" not in written(formatter, lambda logger: logger.info("refused %s", "x\nINFO forged"))


def test_a_fault_is_logged_with_its_trace() -> None:
    def say(logger: logging.Logger) -> None:
        try:
            raise ValueError("broken")
        except ValueError:
            with_context(logger, room="hall").exception("the room failed")

    line = json.loads(written(JsonFormatter(), say))
    assert "ValueError: broken" in line["exception"]
    assert line["room"] == "hall"


def test_the_relay_says_who_came_who_went_and_why() -> None:
    with serving(STREAMXR_RELAY_LOG_FORMAT="json", STREAMXR_RELAY_DRAIN_SECONDS="0") as (process, port):
        for room in ("hall", "attic"):
            with connect(f"ws://127.0.0.1:{port}/ws/{room}", subprotocols=["streamxr.v1"]) as line:
                client = Client(line)
                client.say({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"})
                client.hear("welcome")
                if room == "attic":
                    client.flood("[]", 200)
                    assert client.hear_close() == 4429
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE_S)
    lines = [json.loads(line) for line in err.splitlines()]
    said = [(line.get("room"), line.get("participant"), line["message"].partition(":")[0]) for line in lines]
    for room, end in (("hall", "left"), ("attic", "connection lost")):
        assert said.index((room, 1, "joined")) < said.index((room, 1, end))
    banned = next(line for line in lines if line.get("code") == 4429)
    assert "too many offences" in banned["message"]
    assert not any("Ada" in line for line in err.splitlines())  # names are people's own


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux makes a pipe smaller")
def test_a_log_that_nobody_reads_stops_no_room() -> None:
    visits = 60  # of two lines each, more than a page of a pipe
    with serving("--drain-seconds", "0") as (process, port):
        assert process.stderr
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        for _ in range(visits):
            with connect(f"ws://127.0.0.1:{port}/ws/hall", subprotocols=["streamxr.v1"]) as line:
                client = Client(line)
                client.say({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"})
                client.hear("welcome")
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE_S)
    assert err.count("joined") == visits  # late, and not lost


def test_lines_that_nobody_waits_for_are_counted(capfd: pytest.CaptureFixture[str]) -> None:
    lines = LogQueue(3)
    log = logging.Logger("streamxr.test")
    log.addHandler(lines)
    for number in range(5):
        log.warning("line %d", number)
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter())
    writer = threading.Thread(target=lines.write_to, args=(handler,))
    writer.start()
    while lines.queued:
        time.sleep(0.01)
    lines.end()
    writer.join(PATIENCE_S)
    assert not writer.is_alive()
    said = capfd.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in said] == [
        "line 0",
        "line 1",
        "line 2",
        "2 log lines are lost, because stderr was not read",
    ]


def test_every_option_of_serve_is_also_a_variable() -> None:
    shown = subprocess.run(
        [*RELAY, "serve", "--help"], capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"}
    ).stdout
    options = {line.split()[0] for line in shown.splitlines() if line.startswith("  --")}
    assert len(options) > 10
    for option in options:
        assert "STREAMXR_RELAY_" + option[2:].replace("-", "_").upper() in shown, option
