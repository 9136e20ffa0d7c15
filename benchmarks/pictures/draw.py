"""Draw models with three.js in Chromium."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from chromium import FLAGS, chromium
from measures import Pictures
from PIL import Image
from playwright.sync_api import Browser, Error, Route, sync_playwright
from views import DIRECTIONS, Box, cameras

HERE = Path(__file__).parent
DECODERS = HERE / "node_modules" / "three" / "examples" / "jsm" / "libs" / "draco" / "gltf"
SIDE = 384  # pixels
PATIENCE_MS = 180_000
ORIGIN = "http://127.0.0.1"  # no server: each request is answered from this process
PAGE = '<!doctype html><link rel="icon" href="data:,"><body><script type="module" src="/page.js"></script>'
COLUMNS = 4  # of the views in a stored picture


class DrawError(Exception):
    """A model cannot be drawn."""


@dataclass(frozen=True)
class Drawn:
    """A model and its pictures. calls: draw calls of one frame."""

    box: Box
    triangles: int
    calls: int
    pictures: Pictures


class Studio:
    """A page that draws models. It keeps their pictures in a folder, by the content of model, page and views."""

    def __init__(self, browser: Browser, kept: Path) -> None:
        kept.mkdir(parents=True, exist_ok=True)
        self._browser = browser
        self._kept = kept
        self._script = bundle_page()
        self._recipe = b"\0".join([self._script, browser.version.encode(), repr((SIDE, DIRECTIONS)).encode()])
        self._page: Page | None = None

    @property
    def browser(self) -> str:
        """Name and version of the browser."""
        return f"Chromium {self._browser.version}"

    def draw(self, model: Path, box: Box | None = None) -> Drawn:
        """The pictures of a GLB from cameras around `box`, by default its own. Raises DrawError."""
        drawn, _ = self.draw_with_key(model, box)
        return drawn

    def draw_with_key(self, model: Path, box: Box | None = None) -> tuple[Drawn, str]:
        """The pictures, and a name for them that no other pictures have. Raises DrawError."""
        content = model.read_bytes()
        key = hashlib.sha256(b"\0".join([self._recipe, repr(box).encode(), content])).hexdigest()[:32]
        path = self._kept / f"{key}.png"
        if path.is_file():
            return _read(path), key
        if self._page is None:
            self._page = Page(self._browser, self._script)
        drawn = self._page.draw(content, box)
        _write(path, drawn)
        return drawn, key


class Page:
    """The page that draws, in a browser context of its own."""

    def __init__(self, browser: Browser, script: bytes) -> None:
        self._models: dict[str, bytes] = {}
        self._count = 0
        self._script = script
        self._page = browser.new_page()
        self._page.set_default_timeout(PATIENCE_MS)
        self._page.route("**/*", self._answer)
        self._page.goto(f"{ORIGIN}/")
        self._page.wait_for_function("() => window.ready")

    def draw(self, content: bytes, box: Box | None) -> Drawn:
        self._count += 1
        name = f"/model-{self._count}.glb"
        self._models[name] = content
        try:
            found = self._page.evaluate("(url) => load(url)", name)
            own = Box(*(tuple(corner) for corner in found["box"]))
            shots = [asdict(camera) for camera in cameras(box or own)]
            packed = self._page.evaluate("([cameras, side]) => draw(cameras, side)", [shots, SIDE])
        except (Error, TypeError, ValueError) as error:
            raise DrawError(str(error).splitlines()[0]) from error
        finally:
            del self._models[name]
        pixels = np.frombuffer(base64.b64decode(packed), np.uint8).reshape(len(shots), SIDE, SIDE, 4)
        return Drawn(own, round(found["triangles"]), found["calls"], pixels[:, ::-1].copy())

    def _answer(self, route: Route) -> None:
        path = "/" + route.request.url.removeprefix(ORIGIN).lstrip("/")
        if path == "/":
            route.fulfill(body=PAGE, content_type="text/html")
        elif path == "/page.js":
            route.fulfill(body=self._script, content_type="text/javascript")
        elif path in self._models:
            route.fulfill(body=self._models[path], content_type="model/gltf-binary")
        elif path.startswith("/draco/"):
            route.fulfill(path=DECODERS / Path(path).name)
        else:
            route.abort()


@contextmanager
def studio(kept: Path) -> Iterator[Studio]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            yield Studio(browser, kept)
        finally:
            browser.close()


def bundle_page() -> bytes:
    """The page's script with three.js in one file."""
    command = [HERE / "node_modules" / ".bin" / "esbuild", HERE / "page.js", "--bundle", "--format=esm", "--minify"]
    return subprocess.run([*command, "--log-level=error"], check=True, stdout=subprocess.PIPE).stdout


def contact_print(pictures: Pictures, columns: int = COLUMNS) -> Pictures:
    """Pictures (views, side, side, 4) side by side in rows of `columns`, as one."""
    views, side = pictures.shape[:2]
    rows = pictures.reshape(views // columns, columns, side, side, 4)
    return rows.transpose(0, 2, 1, 3, 4).reshape(views // columns * side, columns * side, 4)


def _write(path: Path, drawn: Drawn) -> None:
    facts = {"box": [drawn.box.low, drawn.box.high], "triangles": drawn.triangles, "calls": drawn.calls}
    path.with_suffix(".json").write_text(json.dumps(facts))
    unfinished = path.with_suffix(".part")
    Image.fromarray(contact_print(drawn.pictures)).save(unfinished, "png", compress_level=1)
    unfinished.replace(path)


def _read(path: Path) -> Drawn:
    facts = json.loads(path.with_suffix(".json").read_text())
    sheet = np.asarray(Image.open(path))
    rows = sheet.reshape(-1, SIDE, COLUMNS, SIDE, 4).transpose(0, 2, 1, 3, 4)
    low, high = (tuple(corner) for corner in facts["box"])
    return Drawn(Box(low, high), facts["triangles"], facts["calls"], rows.reshape(-1, SIDE, SIDE, 4))
