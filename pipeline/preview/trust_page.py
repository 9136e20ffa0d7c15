"""The page on plain HTTP that says how to trust the authority of this machine, with its certificate to load."""

from __future__ import annotations

import io
from html import escape
from typing import Final

import segno
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from .authority import fingerprint

CERTIFICATE: Final = "/streamxr-authority.crt"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

STEPS: Final = (
    (
        "Meta Quest",
        (
            "Open the preview in the headset's browser.",
            "At the warning choose Advanced, then Proceed. The headset has no setting that trusts an authority; the "
            "page may use WebXR all the same.",
        ),
    ),
    (
        "Apple Vision Pro, iPhone and iPad",
        (
            "Load the certificate in Safari and allow the download.",
            "Settings › General › VPN & Device Management: install “StreamXR preview”.",
            "Settings › General › About › Certificate Trust Settings: switch it on.",
            "On Vision Pro, Settings › Apps › Safari › Advanced › Feature Flags must have the WebXR flags on.",
        ),
    ),
    (
        "Android",
        (
            "Load the certificate.",
            "Settings › Security & privacy › More security settings › Encryption & credentials › Install a certificate "
            "› CA certificate (the names differ a little from maker to maker).",
        ),
    ),
    (
        "A computer",
        (
            "Load the certificate and add it to the authorities that the browser trusts: Keychain Access on macOS, "
            "“Install Certificate… › Trusted Root Certification Authorities” on Windows, Settings › Privacy and "
            "security › Security › Manage certificates in Chrome on Linux.",
        ),
    ),
)

REMOVAL: Final = (
    ("Apple Vision Pro, iPhone and iPad", "Settings › General › VPN & Device Management › StreamXR preview › Remove"),
    ("Android", "Settings › Encryption & credentials › User credentials (or Trusted credentials › User) › Remove"),
    ("macOS", "Keychain Access › search “StreamXR preview” › Delete"),
    ("Windows", "certmgr.msc › Trusted Root Certification Authorities › StreamXR preview › Delete"),
    ("Chrome on Linux", "Settings › Privacy and security › Security › Manage certificates › Authorities"),
    ("Meta Quest", "nothing to remove"),
)

PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>StreamXR preview: trust this machine</title>
<style>
  body {{ font: 1.05rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem;
         color: #1c2430; background: #fff; }}
  a.button {{ display: inline-block; padding: .8rem 1.2rem; margin: .3rem .6rem .3rem 0; border-radius: .5rem;
             background: #1f5fd0; color: #fff; text-decoration: none; font-weight: 600; }}
  a.second {{ background: #e6ebf5; color: #1c2430; }}
  h2 {{ font-size: 1.15rem; margin: 1.6rem 0 .3rem; }}
  code {{ overflow-wrap: anywhere; }}
  img {{ width: 11rem; height: 11rem; image-rendering: pixelated; }}
  small {{ color: #55606f; }}
  @media (prefers-color-scheme: dark) {{ body {{ color: #e8ecf2; background: #14181f; }} small {{ color: #9aa5b4; }}
    a.second {{ background: #2a3342; color: #e8ecf2; }} img {{ background: #fff; padding: .5rem; }} }}
</style>
<h1>Open the preview on this device</h1>
<p>Browsers allow VR and AR on encrypted pages only. Trust the certificate of this machine once, then open the
preview.</p>
<p><a class="button" href="{certificate}" download>1. Load the certificate</a>
<a class="button second" href="{preview}">2. Open the preview</a></p>
{steps}
<h2>On another device</h2>
<p>Scan this code, or type <code>{page}</code></p>
<p><img alt="QR code of {page}" src="{code}"></p>
<p><small>SHA-256 of the certificate, to compare: <code>{fingerprint}</code><br>
The certificate can only stand for private addresses and names of a local network. To remove it:
<code>streamxr serve --https-forget</code> says how.</small></p>
</html>
"""


def trust_app(authority: bytes, page: str, preview: str) -> Starlette:
    """The application of the page.

    authority: its certificate, PEM. page, preview: the addresses of this page and of the preview.
    """
    content = trust_page(authority, page, preview)

    async def show(_: Request) -> Response:
        return HTMLResponse(content, headers=HEADERS)

    async def certificate(_: Request) -> Response:
        name = CERTIFICATE.removeprefix("/")
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
        return Response(authority, media_type="application/x-x509-ca-cert", headers=headers)

    async def elsewhere(_: Request) -> Response:
        return RedirectResponse("/", 302)

    return Starlette(
        routes=[Route("/", show), Route(CERTIFICATE, certificate), Route("/{path:path}", elsewhere)],
    )


def trust_page(authority: bytes, page: str, preview: str) -> str:
    steps = "\n".join(
        f"<h2>{escape(device)}</h2>\n<ol>{''.join(f'<li>{escape(step)}</li>' for step in of_device)}</ol>"
        for device, of_device in STEPS
    )
    return PAGE.format(
        certificate=CERTIFICATE,
        preview=escape(preview),
        page=escape(page),
        steps=steps,
        code=segno.make(page, micro=False).png_data_uri(scale=6, border=4),
        fingerprint=fingerprint(authority),
    )


def terminal_code(address: str) -> str:
    """A QR code of an address for the terminal."""
    output = io.StringIO()
    segno.make(address, micro=False).terminal(output, compact=True, border=1)
    return output.getvalue()
