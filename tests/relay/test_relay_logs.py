"""What the relay logs: one line an event, with the room and participant it concerns."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from typing import Any

import pytest
from relay_process import RELAY, serving
from relay_server import PATIENCE_S, Client
from streamxr.relay.logs import JsonLines, TextLines, about
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
        log = about(logger, room="hall")
        log.add(participant=7)
        log.warning("left: %s", "gone", extra={"code": 1006})

    line = json.loads(written(JsonLines(), say))
    assert line["time"].endswith("Z")
    assert {name: line[name] for name in ("level", "message", "room", "participant", "code")} == {
        "level": "warning",
        "message": "left: gone",
        "room": "hall",
        "participant": 7,
        "code": 1006,
    }
    assert written(TextLines(), say) == "WARNING streamxr.test: left: gone room=hall participant=7 code=1006"


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_what_a_stranger_sent_cannot_forge_a_line(formatter: logging.Formatter) -> None:
    assert "\n" not in written(formatter, lambda logger: logger.info("refused %s", "x\nINFO forged"))


def test_a_fault_is_logged_with_its_trace() -> None:
    def say(logger: logging.Logger) -> None:
        try:
            raise ValueError("broken")
        except ValueError:
            about(logger, room="hall").exception("the room failed")

    line = json.loads(written(JsonLines(), say))
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
    for room, end in (("hall", "left"), ("attic", "gone")):
        assert said.index((room, 1, "joined")) < said.index((room, 1, end))
    banned = next(line for line in lines if line.get("code") == 4429)
    assert "too many offences" in banned["message"]
    assert not any("Ada" in line for line in err.splitlines())  # names are people's own


def test_every_option_of_serve_is_also_a_variable() -> None:
    shown = subprocess.run(
        [*RELAY, "serve", "--help"], capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"}
    ).stdout
    options = {line.split()[0] for line in shown.splitlines() if line.startswith("  --")}
    assert len(options) > 10
    for option in options:
        assert "STREAMXR_RELAY_" + option[2:].replace("-", "_").upper() in shown, option
