"""The command line of the relay: `streamxr-relay`."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from .connection import ConnectionLimits
from .descriptors import RESERVED, raise_limit
from .logs import FORMATS, logs_to_stderr
from .protocol.messages import Role
from .rooms.pace import TickPolicy
from .rooms.store import StoreError
from .rooms_command import rooms
from .server import RelayServer, listen
from .settings import RelaySettings
from .simulation.simulate import simulate
from .tokens import Claims, TokenKeys

log = logging.getLogger("streamxr.relay")

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULTS: Final = RelaySettings()

EPILOG: Final = """\b
Examples:
  streamxr-relay serve
      pages on this machine may connect
  streamxr-relay serve --host 0.0.0.0
      headsets on the local network may connect; the pages must come from this same host
  streamxr-relay serve --host 0.0.0.0 --origin https://museum.example
      pages of one public site may connect, through a proxy that terminates TLS
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="streamxr", prog_name="streamxr-relay")
def main() -> None:
    """Presence for StreamXR: participants in a room see each other's head and hands, and share objects."""


main.add_command(simulate)
main.add_command(rooms)


def _option(name: str, parameter: str | None = None, **attributes: Any) -> Callable[[Command], Command]:
    """An option that can also be set by the environment variable STREAMXR_RELAY_<NAME>."""
    variable = "STREAMXR_RELAY_" + name.removeprefix("--").replace("-", "_").upper()
    names = (name, parameter) if parameter else (name,)
    return click.option(*names, envvar=variable, show_envvar=True, show_default=True, **attributes)


def _networks(_context: click.Context, _parameter: click.Parameter, entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        try:
            ipaddress.ip_network(entry)
        except ValueError as error:
            raise click.BadParameter(f"{error}; expected an address or a network such as 10.0.0.0/8") from None
    return entries


SECRET_VARIABLE: Final = "STREAMXR_RELAY_TOKEN_SECRET"

_secret_file = _option(
    "--token-secret-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File with the secret that signs join tokens; or put the secret itself into {SECRET_VARIABLE}. With several "
    "secrets, separated by white space, the first one signs, and all are accepted. Default: everyone may join.",
)


def _token_keys(secret_file: Path | None) -> TokenKeys | None:
    """The keys from the file or from the environment; None without secrets.

    There is no option for the secret itself, because `ps` would show it.
    """
    source = str(secret_file) if secret_file else SECRET_VARIABLE
    try:
        text = secret_file.read_text("utf-8") if secret_file else os.environ.get(SECRET_VARIABLE)
        return None if text is None else TokenKeys(text.split())
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{source}: {error}") from None


@main.command()
@click.option("--room", required=True, help="Room that the token is for; * for every room.")
@click.option(
    "--sub", required=True, help="Subject that the token is for, as named in your system; never shown to others."
)
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.EDITOR.value,
    show_default=True,
    help="Role, which determines the operations allowed on shared objects.",
)
@click.option("--ttl", type=click.IntRange(1), default=3600, show_default=True, help="Seconds until the token expires.")
@_secret_file
def token(room: str, sub: str, role: str, ttl: int, token_secret_file: Path | None) -> None:
    """Print a join token. It must be signed with a secret that `serve` has too."""
    keys = _token_keys(token_secret_file)
    if keys is None:
        raise click.UsageError(f"a secret is required: set --token-secret-file or {SECRET_VARIABLE}")
    try:
        click.echo(keys.sign(Claims(room, sub, Role(role), int(time.time()) + ttl)))
    except ValueError as error:
        raise click.ClickException(str(error)) from None


@main.command(epilog=EPILOG)
@_option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 or :: for all networks.")
@_option("--port", default=8787, type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.")
@_option(
    "--metrics-host",
    default="127.0.0.1",
    help="Address that serves /metrics. It has no password: choose one that only Prometheus can reach.",
)
@_option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Port that serves /metrics; 0 takes a free one. Default: the one after --port.",
)
@_option(
    "--origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Origin of pages that may connect, such as https://museum.example; * for every page. May be repeated (in the "
    "variable: separated by spaces). Default: pages from localhost, and from this host if it is an address or a local "
    "name.",
)
@_option(
    "--tick-hz",
    default=DEFAULTS.tick.hz,
    type=click.IntRange(1, 120),
    help="Ticks (pose frames) per second in small rooms. If above 30, larger rooms, and all rooms of an overloaded "
    "relay, get half as many.",
)
@_option(
    "--fast-up-to",
    default=DEFAULTS.tick.fast_up_to,
    type=click.IntRange(0),
    help="Participants up to which a room counts as small.",
)
@_option(
    "--full-up-to",
    default=DEFAULTS.tick.full_up_to,
    type=click.IntRange(0),
    help="Participants up to which everyone gets every pose. In larger rooms, distant participants are sent at 5 Hz. "
    "65535: everyone always gets every pose.",
)
@_option(
    "--client-bps",
    default=DEFAULTS.tick.client_bps,
    type=click.IntRange(100_000),
    help="Maximum bits per second of poses for one client in rooms above --full-up-to.",
)
@_option(
    "--max-participants",
    default=DEFAULTS.max_participants,
    type=click.IntRange(1, 65535),
    help="Maximum number of participants in one room.",
)
@_option("--max-rooms", default=DEFAULTS.max_rooms, type=click.IntRange(1), help="Maximum number of open rooms.")
@_option(
    "--max-connections", default=DEFAULTS.max_connections, type=click.IntRange(1), help="Maximum number of connections."
)
@_option(
    "--max-per-address",
    default=DEFAULTS.max_per_address,
    type=click.IntRange(0),
    help="Maximum number of connections from one address (IPv6: one /64 network); 0: no limit.",
)
@_option(
    "--rooms-per-address",
    default=DEFAULTS.rooms_per_address,
    type=click.IntRange(0),
    help="Maximum number of open and kept rooms that one address has made, or with tokens one subject; 0: no limit.",
)
@_option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    callback=_networks,
    metavar="ADDRESS",
    help="Address of a proxy, or network of proxies (10.0.0.0/8), whose X-Forwarded-For header is trusted for the "
    "address of a client. May be repeated (in the variable: separated by spaces).",
)
@_option(
    "--labelled-rooms",
    default=DEFAULTS.labelled_rooms,
    type=click.IntRange(0),
    help="Rooms with series of their own in /metrics; all others are summed as `other`.",
)
@_option(
    "--client-series",
    default=DEFAULTS.client_series,
    type=click.IntRange(0, 1_000),
    help="Number of the slowest clients whose bandwidth has a series of its own in /metrics, as room/pid.",
)
@_option(
    "--visits/--no-visits",
    default=True,
    help="Count what viewers report: time to the first picture and to full detail, stalls, class of device. Anonymous.",
)
@_option(
    "--drain-seconds",
    default=DEFAULTS.drain_s,
    type=click.FloatRange(0),
    help="Time over which connections are closed on SIGTERM or Ctrl-C.",
)
@_option(
    "--fast-path/--no-fast-path",
    default=True,
    help="Read and write poses without ASGI. --no-fast-path is slower, but uses only public interfaces of libraries.",
)
@_option(
    "--grace-seconds",
    default=DEFAULTS.grace_s,
    type=click.FloatRange(0),
    help="Time for which the seat of a participant is kept after their connection is lost.",
)
@_option(
    "--max-objects",
    default=DEFAULTS.max_objects,
    type=click.IntRange(0, 500),
    help="Maximum number of shared objects in one room.",
)
@_option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that stores shared objects, so that they survive a restart. Default: they are not stored.",
)
@_option(
    "--keep-days",
    default=DEFAULTS.keep_days,
    type=click.IntRange(0),
    help="Days for which --state keeps the objects of a room that nobody uses; 0: without end.",
)
@_secret_file
@_option("--workers", default=1, type=int, help="Must be 1, because a room lives in one process.")
@_option(
    "--log-level",
    default="info",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Lowest level of the log lines on stderr.",
)
@_option(
    "--log-format",
    default="text",
    type=click.Choice(FORMATS),
    help="Format of log lines. json: one object per line, with room and participant if they apply.",
)
def serve(
    host: str,
    port: int,
    metrics_host: str,
    metrics_port: int | None,
    origins: tuple[str, ...],
    tick_hz: int,
    fast_up_to: int,
    full_up_to: int,
    client_bps: int,
    max_participants: int,
    max_rooms: int,
    max_connections: int,
    max_per_address: int,
    rooms_per_address: int,
    trusted_proxies: tuple[str, ...],
    labelled_rooms: int,
    client_series: int,
    visits: bool,
    drain_seconds: float,
    fast_path: bool,
    grace_seconds: float,
    max_objects: int,
    state: Path | None,
    keep_days: int,
    token_secret_file: Path | None,
    workers: int,
    log_level: str,
    log_format: str,
) -> None:
    """Run the relay until SIGTERM or Ctrl-C. A second signal stops it without waiting for clients.

    Serves /ws/{room}, /healthz and /readyz; and /metrics on a port of its own.
    """
    if workers != 1:
        raise click.UsageError(
            f"--workers {workers}: must be 1, because a room lives in one process. With several processes, the "
            "participants of one room would connect to different processes and not see each other. One process serves "
            "hundreds of participants; for more, run one relay per group of rooms."
        )
    settings = RelaySettings(
        origins=origins,
        tick=TickPolicy(tick_hz, fast_up_to, full_up_to, client_bps),
        max_participants=max_participants,
        max_rooms=max_rooms,
        max_connections=max_connections,
        max_per_address=max_per_address,
        rooms_per_address=rooms_per_address,
        keep_days=keep_days,
        trusted_proxies=trusted_proxies,
        labelled_rooms=labelled_rooms,
        client_series=client_series,
        visits=visits,
        drain_s=drain_seconds,
        grace_s=grace_seconds,
        max_objects=max_objects,
        connection=ConnectionLimits.for_ticks(tick_hz),
        state=state,
        tokens=_token_keys(token_secret_file),
    )
    if metrics_port is None:
        metrics_port = port and port + 1
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(_listening(host, port, "--host and --port"))
        metrics = sockets.enter_context(_listening(metrics_host, metrics_port, "--metrics-host and --metrics-port"))
        _run(settings, listener, metrics, fast_path=fast_path, log_level=log_level, log_format=log_format)


def _within_descriptors(settings: RelaySettings) -> RelaySettings:
    """The settings with no more connections than the process may have open."""
    limit = raise_limit()
    if limit is None or settings.max_connections <= limit - RESERVED:
        return settings
    most = max(1, limit - RESERVED)
    log.warning(
        "at most %d connections instead of %d: this process may open %d files; raise the limit with ulimit -n, "
        "LimitNOFILE= or ulimits:",
        most,
        settings.max_connections,
        limit,
    )
    return replace(settings, max_connections=most)


def _listening(host: str, port: int, options: str) -> socket.socket:
    """A listening socket. Raises ClickException, which names `options`, if the address cannot be bound."""
    try:
        return listen(host, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise click.ClickException(f"cannot listen on {host} port {port}: {reason}; see {options}") from None


def _address(listener: socket.socket) -> str:
    """host:port of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _run(
    settings: RelaySettings,
    listener: socket.socket,
    metrics: socket.socket,
    *,
    fast_path: bool,
    log_level: str,
    log_format: str,
) -> None:
    """Serve until a signal."""
    click.echo(
        f"streamxr-relay: ws://{_address(listener)}/ws/{{room}}  metrics: http://{_address(metrics)}/metrics  "
        "(Ctrl-C to stop)",
        err=True,
    )
    with logs_to_stderr(log_level, log_format):
        settings = _within_descriptors(settings)
        try:
            server = RelayServer(
                settings,
                fast_path=fast_path,
                log_level="warning" if log_level == "info" else log_level,
                metrics=metrics,
            )
        except StoreError as error:
            raise click.ClickException(str(error)) from None
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
