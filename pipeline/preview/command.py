"""The command `streamxr serve`."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

EXAMPLES = """
\b
Examples:
  streamxr serve build
  streamxr serve build --host 0.0.0.0 --port 9000
  streamxr serve build --https                  WebXR on a headset or phone of the local network
  streamxr serve build --https --relay ws://127.0.0.1:8787
  streamxr serve --https-forget                 remove the certificates of --https
"""
HTTP_PORT, HTTPS_PORT = 8080, 8443
ANY = ("0.0.0.0", "::")


def _relay(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("ws", "wss") and bool(parts.hostname) and not parts.query and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise click.BadParameter("expected an address such as ws://127.0.0.1:8787")
    return value


@click.command(epilog=EXAMPLES)
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False), default=Path("build"))
@click.option("--host", help="Address to listen on. Default: 127.0.0.1; with --https all networks, 0.0.0.0.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"0 takes a free port. Default: {HTTP_PORT}, with --https {HTTPS_PORT}.",
)
@click.option("--relay", callback=_relay, help="Relay at this address behind /relay, for pages with relay=/relay.")
@click.option("--https", is_flag=True, help="Encrypt, with a certificate authority that only this machine uses.")
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    default=HTTP_PORT,
    show_default=True,
    help="With --https: port of the page that says how to trust the authority.",
)
@click.option("--name", "names", multiple=True, help="With --https: another name or address of this machine.")
@click.option("--https-forget", is_flag=True, help="Remove authority and certificates from this machine, and end.")
@click.option("--quiet", is_flag=True, help="Do not log requests.")
def serve(
    bundle: Path,
    host: str | None,
    port: int | None,
    relay: str | None,
    https: bool,
    http_port: int,
    names: tuple[str, ...],
    https_forget: bool,
    quiet: bool,
) -> None:
    """Serve BUNDLE for a preview, with the viewer at /. Not for production: use a CDN there.

    Browsers start VR and AR on encrypted pages only, and on localhost. With --https, other devices can do so too, once
    they trust the certificate authority of this machine. Its key stays in your folder, and it can stand for private
    addresses and local names alone.
    """
    if https_forget:
        _forget()
        return
    from ..bundle.files import CATALOGUE

    if not (bundle / CATALOGUE).is_file():
        raise click.ClickException(f"{bundle} is not a bundle: it has no {CATALOGUE} (run streamxr build first)")
    host = host or (ANY[0] if https else "127.0.0.1")
    with _listen(host, (HTTPS_PORT if https else HTTP_PORT) if port is None else port) as listener:
        if https:
            with _listen(host, http_port) as beside:
                _serve_encrypted(bundle, relay, names, host, listener, beside, quiet=quiet)
        else:
            _serve_plain(bundle, relay, host, listener, quiet=quiet)


def _serve_plain(bundle: Path, relay: str | None, host: str, listener: socket.socket, *, quiet: bool) -> None:
    from .bundle_app import bundle_app
    from .local_names import local_names
    from .servers import Listener, run

    port = listener.getsockname()[1]
    _say(f"http://{'localhost' if host in ('127.0.0.1', *ANY) else _in_url(host)}:{port}/")
    if host in ANY and (best := local_names().best) != "localhost":
        _say(f"http://{best}:{port}/ from this network; for VR and AR there, add --https")
    run(Listener(bundle_app(bundle, relay), listener), quiet=quiet)


def _serve_encrypted(
    bundle: Path,
    relay: str | None,
    names: tuple[str, ...],
    host: str,
    listener: socket.socket,
    beside: socket.socket,
    *,
    quiet: bool,
) -> None:
    from .authority import AuthorityError, credentials, folder
    from .bundle_app import bundle_app
    from .local_names import local_names
    from .servers import Listener, run
    from .trust_page import terminal_code, trust_app

    local = local_names((*names, *(() if host in ANY else (host,))))
    try:
        own = credentials(local)
    except AuthorityError as error:
        raise click.ClickException(str(error)) from None
    shown = local.best if host in ANY else _in_url(host)
    preview = f"https://{shown}:{listener.getsockname()[1]}/"
    page = f"http://{shown}:{beside.getsockname()[1]}/"
    _say(preview)
    _say(f"on each headset, phone or computer, once before: {page}")
    if sys.stdout.isatty():
        _say(terminal_code(page))
    if own.created:
        click.echo(f"a new certificate authority is in {folder()}", err=True)
    for name in [text for text in local.left_out if text in names]:
        click.echo(f"{name} is left out: the authority stands for private addresses and local names only", err=True)
    app = bundle_app(bundle, relay)
    trust = trust_app(own.authority, page, preview)
    run(Listener(app, listener, own.certificate, own.key), Listener(trust, beside), quiet=quiet)


def _forget() -> None:
    from .authority import AuthorityError, folder, forget
    from .trust_page import REMOVAL

    place = folder()
    try:
        existed = forget()
    except AuthorityError as error:
        raise click.ClickException(str(error)) from None
    if not existed:
        click.echo(f"there is no certificate authority in {place}")
        return
    click.echo(f"removed {place}. Devices that trust the authority can forget it too:")
    for device, steps in REMOVAL:
        click.echo(f"  {device}: {steps}")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, reuse_port=False)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror} (try another port)") from None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
