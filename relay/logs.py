"""What the relay says on stderr: a line for each event, for people or, as JSON, for a log store.

A line that concerns one room or participant has them as fields, however deep it was said: loggers made by `about`
carry them.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import MutableMapping
from typing import Any, Final

FORMATS: Final = ("text", "json")
FIELDS: Final = ("room", "participant", "code")  # what a line may be about


class About(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines all concern the same; more may become known later."""

    def add(self, **fields: object) -> None:
        self.extra = {**(self.extra or {}), **fields}

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def about(logger: logging.Logger, **fields: object) -> About:
    """A logger for what concerns `room=`, `participant=`."""
    return About(logger, fields)


def set_up_logs(level: str, form: str) -> None:
    """Write all logs to stderr, from `level` (a name in any case) on, in one of FORMATS."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class JsonLines(logging.Formatter):
    """`{"time", "level", "logger", "message"}` and what the line is about; time is UTC, to the millisecond."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= _fields(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        # One event is one line: a message may quote what a stranger sent.
        message = record.getMessage().replace("\n", "\\n")
        line = f"{record.levelname} {record.name}: {message}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
