"""Logs to stderr: one line per event, as text for people or as JSON for a log store.

Loggers from `with_context` add the room and the participant to each of their lines as fields.
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
CONTEXT_FIELDS: Final = ("room", "participant", "code")
MAX_QUEUED_RECORDS: Final = 10_000  # a few megabytes
FLUSH_TIMEOUT_S: Final = 2.0  # time to write the remaining records at exit


class ContextLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds the same fields to each record. `add` extends them."""

    def add(self, **fields: object) -> None:
        self.extra = {**(self.extra or {}), **fields}

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def with_context(logger: logging.Logger, **fields: object) -> ContextLogger:
    """A logger that adds `fields`, of those in CONTEXT_FIELDS, to each record."""
    return ContextLogger(logger, fields)


@contextlib.contextmanager
def logs_to_stderr(level: str, log_format: str) -> Iterator[None]:
    """Write all logs of `level` (a name in any case) and above to stderr, in one of FORMATS.

    A separate thread writes. If nobody reads stderr (a full pipe), records are lost but no room waits.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    records = LogQueue(MAX_QUEUED_RECORDS)
    logging.basicConfig(level=level.upper(), handlers=[records], force=True)
    writer = threading.Thread(target=records.write_to, args=(handler,), daemon=True, name="logs")
    writer.start()
    try:
        yield
    finally:
        records.end()
        writer.join(FLUSH_TIMEOUT_S)


class LogQueue(logging.Handler):
    """Keeps up to `limit` records for `write_to`. Further records are lost; their number is reported later."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._records: queue.Queue[logging.LogRecord | None] = queue.Queue(limit)
        self._lost = 0

    @property
    def queued(self) -> int:
        """Number of records that are not written yet."""
        return self._records.qsize()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._records.put_nowait(record)
        except queue.Full:
            self._lost += 1

    def write_to(self, handler: logging.Handler) -> None:
        """Pass all records to `handler`, until `end` is called."""
        while (record := self._records.get()) is not None:
            handler.handle(record)
            if self._lost and self._records.empty():
                lost, self._lost = self._lost, 0
                text = "%d log lines are lost, because stderr was not read"
                handler.handle(logging.LogRecord(__name__, logging.WARNING, "", 0, text, (lost,), None))

    def end(self) -> None:
        with contextlib.suppress(queue.Full):
            self._records.put_nowait(None)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (UTC, to the millisecond), `level`, `logger`, `message` and context fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= _context(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _context(record).items())
        # A message may quote text from a client, which must not be able to forge a second log line.
        message = record.getMessage().replace("\n", "\\n")
        line = f"{record.levelname} {record.name}: {message}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _context(record: logging.LogRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in CONTEXT_FIELDS if hasattr(record, name)}
