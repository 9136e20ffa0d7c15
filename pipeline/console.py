"""Messages of the commands on standard error, and their exit codes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .errors import ModelError, os_reason
from .jobs.limits import ProcessStartError

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130  # exit code: 128 + SIGINT, as shells report it


@contextmanager
def one_line_errors(*, interrupted: str = "") -> Iterator[None]:
    """Exit with one line for an error that the artist can act on, and quietly or with `interrupted` after Ctrl-C."""
    try:
        yield
    except (ModelError, ProcessStartError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        if error.filename is None:
            raise
        raise click.ClickException(f"cannot use {error.filename}: {os_reason(error)}") from None
    except KeyboardInterrupt:
        if interrupted:
            stderr().print(interrupted, style="yellow")
        sys.exit(INTERRUPTED)


def stderr() -> Console:
    """The console for progress and messages; standard output is for reports."""
    from rich.console import Console  # here, since a build starts its first models without it

    return Console(stderr=True)
