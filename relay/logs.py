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
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final

from .rate import TokenBucket

FORMATS: Final = ("text", "json")
CONTEXT_FIELDS: Final = ("room", "participant", "code")
KIND_PER_S: Final = 1.0
KIND_BURST: Final = 100  # of lines about joining and leaving, a full room comes and goes at once
MAX_KINDS: Final = 1_000
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
    records.addFilter(KindLimit())
    logging.basicConfig(level=level.upper(), handlers=[records], force=True)
    writer = threading.Thread(target=records.write_to, args=(handler,), daemon=True, name="logs")
    writer.start()
    try:
        yield
    finally:
        records.end()
        writer.join(FLUSH_TIMEOUT_S)


class KindLimit(logging.Filter):
    """Passes KIND_BURST lines of each kind at once and then KIND_PER_S; the next one says how many were left out.

    The kind of a line is its logger and its text before values are put into it. Clients can cause thousands of lines a
    second, and one is enough to know.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._allowances: dict[tuple[str, str], TokenBucket] = {}
        self._left_out: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        now, kind = self._clock(), (record.name, str(record.msg))
        allowance = self._allowances.get(kind)
        if allowance is None:
            if len(self._allowances) >= MAX_KINDS:  # a library that builds its texts; ours are few
                self._allowances.clear()
            allowance = self._allowances[kind] = TokenBucket(KIND_PER_S, KIND_BURST, now)
        if not allowance.take(now):
            self._left_out[kind] += 1
            return False
        if left_out := self._left_out.pop(kind, 0):
            record.msg = f"{record.getMessage()} ({left_out:,} more like this were left out)"
            record.args = None
        return True


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
        return json.dumps(line).replace("\x7f", "\\u007f")  # the one invisible character that JSON leaves as it is


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _context(record).items())
        trace = f" | {self.formatException(record.exc_info)}" if record.exc_info else ""
        return _one_line(f"{record.levelname} {record.name}: {record.getMessage()}{fields}{trace}")


def _one_line(text: str) -> str:
    """Text whose control characters, line separators and other invisible characters are escaped.

    A message may quote a client's text, which must neither forge a second line nor change what a terminal shows.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _context(record: logging.LogRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in CONTEXT_FIELDS if hasattr(record, name)}
