"""What the relay says on stderr: a line for each event, for people or, as JSON, for a log store.

A line that concerns one room or participant has them as fields, however deep it was said: loggers made by `about`
carry them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

FORMATS: Final = ("text", "json")
FIELDS: Final = ("room", "participant", "code")  # what a line may be about
MAX_WAITING_LINES: Final = 10_000  # some megabytes
LAST_WORDS_S: Final = 2.0  # for what is still to be written at the end


class About(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines all concern the same; more may become known later."""

    def add(self, **fields: object) -> None:
        self.extra = {**(self.extra or {}), **fields}

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def about(logger: logging.Logger, **fields: object) -> About:
    """A logger for what concerns `room=`, `participant=`."""
    return About(logger, fields)


@contextlib.contextmanager
def logs_to_stderr(level: str, form: str) -> Iterator[None]:
    """Write all logs to stderr, from `level` (a name in any case) on, in one of FORMATS.

    A thread writes: where nobody reads stderr any more (a full pipe), lines are lost, and no room waits for them.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    lines = Lines(MAX_WAITING_LINES)
    logging.basicConfig(level=level.upper(), handlers=[lines], force=True)
    writer = threading.Thread(target=lines.write_to, args=(handler,), daemon=True, name="logs")
    writer.start()
    try:
        yield
    finally:
        lines.end()
        writer.join(LAST_WORDS_S)


class Lines(logging.Handler):
    """Keeps up to `limit` lines for `write_to`; those beyond are counted, and their number is said later."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._lines: queue.Queue[logging.LogRecord | None] = queue.Queue(limit)
        self._lost = 0

    @property
    def waiting(self) -> int:
        return self._lines.qsize()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(record)
        except queue.Full:
            self._lost += 1

    def write_to(self, handler: logging.Handler) -> None:
        """Write with `handler` whatever comes, until `end`."""
        while (record := self._lines.get()) is not None:
            handler.handle(record)
            if self._lost and self._lines.empty():
                lost, self._lost = self._lost, 0
                text = "%d lines are lost: stderr was not read"
                handler.handle(logging.LogRecord(__name__, logging.WARNING, "", 0, text, (lost,), None))

    def end(self) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)


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
