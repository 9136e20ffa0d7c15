"""The element and the module on other pages, the examples, and the size of the first load."""

from __future__ import annotations

import io
import json
import mimetypes
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route
from servers import Site, serve
from streamxr.pipeline.bundle.files import CATALOGUE
from visit import PATIENCE_MS, PIXEL_RATIO, Visit, new_context

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "viewer" / "examples"
THREE = ROOT / "viewer" / "node_modules" / "three"
CDN = "https://cdn.jsdelivr.net/npm/three@"
FIRST_LOAD_BYTES = 230_000
MANY_COLOURS = 500  # more than a background with text has

Open = Callable[..., Page]
ALL_LOADED = "() => [...document.querySelectorAll('streamxr-viewer')].every((each) => each.hasAttribute('loaded'))"
SESSION = "document.querySelector('streamxr-viewer').view.streamxr.session"
NO_WEBGL = "HTMLCanvasElement.prototype.getContext = () => null"


@pytest.fixture(scope="module")
def examples(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The bundle with the examples in its folder."""
    folder = tmp_path_factory.mktemp("examples") / "build"
    shutil.copytree(bundle, folder)
    for example in EXAMPLES.glob("*.html"):
        shutil.copy(example, folder)
    with serve(folder) as site:
        yield site


@pytest.fixture
def visit_page(browser: Browser, examples: Site) -> Iterator[Open]:
    """Opens an example, or the given HTML, in a new browser context."""
    contexts = []

    def opened(
        path: str,
        html: str | None = None,
        *,
        script: str | None = None,
        routes: Mapping[str, Callable[[Route], object]] | None = None,
    ) -> Page:
        context = new_context(browser, (640, 480))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: pytest.fail(f"the page threw {error}"))
        page.route(f"{CDN}**", installed_three)
        if html is not None:
            page.route(f"**/{path}", lambda route: route.fulfill(content_type="text/html", body=html))
        for pattern, answer in (routes or {}).items():
            page.route(pattern, answer)
        if script is not None:
            page.add_init_script(script)
        page.goto(examples.url + path, wait_until="commit")
        return page

    yield opened
    for context in contexts:
        context.close()


def installed_three(route: Route) -> None:
    """Answers requests to the CDN with the installed three.js."""
    _, _, path = route.request.url.removeprefix(CDN).partition("/")
    route.fulfill(path=THREE / path, content_type=mimetypes.guess_type(path)[0] or "text/javascript")


def element(attributes: str, inside: str = "", style: str = "") -> str:
    """A page with one element. It records the events in `window.events`."""
    return f"""<!doctype html><link rel="icon" href="data:,"><title>test</title><style>{style}</style>
        <script>
            window.events = [];
            for (const name of ["progress", "load", "error"])
                document.addEventListener(name, (event) => {{
                    if (event.target.localName === "streamxr-viewer") events.push([name, event.message ?? null]);
                }}, true);
        </script>
        <script type="module" src="viewer/streamxr-viewer.js"></script>
        <streamxr-viewer {attributes}>{inside}</streamxr-viewer>"""


def count_colours(picture: bytes) -> int:
    return len(set(Image.open(io.BytesIO(picture)).convert("RGB").get_flattened_data()))


def test_the_element_example_shows_three_assets_with_one_planner(visit_page: Open) -> None:
    page = visit_page("element.html")
    page.wait_for_function(ALL_LOADED)
    viewers = page.locator("streamxr-viewer")
    assert viewers.count() == 3
    for index in range(3):
        # The attribute `loaded` is set after the first frame.
        assert count_colours(viewers.nth(index).screenshot()) > MANY_COLOURS, "a lit, textured model has many colours"
    sessions = "new Set([...document.querySelectorAll('streamxr-viewer')].map((e) => e.view.streamxr.session)).size"
    assert page.evaluate(sessions) == 1
    requests = page.evaluate(
        "performance.getEntriesByType('resource').filter(({name}) => /bundle.json/.test(name)).length"
    )
    assert requests == 1


def test_the_module_example_loads_an_asset_and_draws_it_with_its_own_camera(visit_page: Open) -> None:
    page = visit_page("module.html")
    canvas = page.locator("canvas")
    canvas.wait_for()
    page.wait_for_function("() => performance.getEntriesByType('resource').some(({name}) => name.endsWith('.webp'))")
    assert count_colours(canvas.screenshot()) > 200


# The start of a page that uses three.js.
MODULE_PAGE = """<!doctype html><link rel="icon" href="data:,">
    <script type="importmap">{"imports": {
        "three": "https://cdn.jsdelivr.net/npm/three@0/build/three.module.js",
        "three/addons/": "https://cdn.jsdelivr.net/npm/three@0/examples/jsm/",
        "streamxr-viewer": "./viewer/module/streamxr-viewer.js"}}</script>
"""
WARMUP = """
    <script type="module">
        import { HemisphereLight, PerspectiveCamera, Scene, WebGLRenderer } from "three";
        import { StreamXR } from "streamxr-viewer";
        const renderer = new WebGLRenderer();
        document.body.append(renderer.domElement);
        const scene = new Scene().add(new HemisphereLight());
        const camera = new PerspectiveCamera();
        camera.position.set(0, 1, 3);
        const streamxr = new StreamXR({ renderer });
        const programs = () => renderer.info.programs.map(({ cacheKey }) => cacheKey)
            .filter((key) => key.startsWith("physical"));
        const seen = { ahead: [], first: null, objects: 0 };
        let asset = null;
        renderer.setAnimationLoop(() => {
            streamxr.update(camera, 0.016);
            if (!asset) seen.ahead = programs();
            renderer.render(scene, camera);
            if (asset) seen.first ??= programs();
            seen.objects = scene.children.length;
        });
        window.seen = seen;
        window.go = async (known) => {
            asset = await streamxr.load("bundle.json", { asset: "sculpture", ...(known ? { scene } : {}) });
            scene.add(asset);
        };
        window.leave = () => streamxr.dispose();
    </script>"""


@pytest.mark.parametrize("known", [True, False], ids=["a known scene", "an unknown scene"])
def test_the_shaders_of_an_asset_are_compiled_before_it_arrives_if_its_scene_is_known(
    visit_page: Open, known: bool
) -> None:
    """The document of a base arrives first; the rest of the file takes a second at this bandwidth."""
    page = visit_page("warmup.html", MODULE_PAGE + WARMUP)
    page.wait_for_function("() => window.go")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    slow = {"offline": False, "latency": 20, "downloadThroughput": 20_000, "uploadThroughput": 20_000}
    devtools.send("Network.emulateNetworkConditions", slow)
    page.evaluate("(known) => { go(known); }", known)
    page.wait_for_function("() => seen.first")
    seen = page.evaluate("seen")
    assert seen["first"]
    assert (set(seen["first"]) <= set(seen["ahead"])) == known
    page.wait_for_function("() => seen.objects === 2")  # the light and the asset; the stand-ins are removed
    page.evaluate("leave()")


TWO_RENDERERS = """
    <script type="module">
        import { WebGLRenderer } from "three";
        import { StreamXR } from "streamxr-viewer";
        const [one, two] = [0, 1].map(() => new StreamXR({ renderer: new WebGLRenderer() }));
        const refusal = (promise) => promise.then(() => "none", (error) => error.message);
        const stop = new AbortController();
        const started = two.load("bundle.json", { asset: "koi", signal: stop.signal });
        const refused = refusal(started);
        await two.session.open("bundle.json").then(() => stop.abort(new Error("stopped by the user")));
        const load = (each) => each.load("bundle.json", { asset: "lantern" });
        const [lantern] = await Promise.all([load(one), load(two)]);
        window.shared = [one.session === two.session, one.session.streamer.assets.length];
        window.refusals = [await refused, await refusal(one.load("bundle.json"))];
        one.unload(lantern);
        two.dispose();
        window.left = one.session.streamer.assets.length;
    </script>"""


def test_two_renderers_share_one_session_which_drops_unloaded_and_aborted_assets(visit_page: Open) -> None:
    page = visit_page("two.html", MODULE_PAGE + TWO_RENDERERS)
    page.wait_for_function("() => window.left !== undefined")
    assert page.evaluate("shared") == [True, 2]
    aborted, ambiguous = page.evaluate("refusals")
    assert aborted == "stopped by the user"
    assert "name one asset" in ambiguous
    assert page.evaluate("left") == 0


def test_an_element_sends_progress_and_load_events(visit_page: Open) -> None:
    page = visit_page("one.html", element('src="bundle.json" asset="lantern" alt="A brass lantern"'))
    page.wait_for_function(ALL_LOADED)
    events = [name for name, _ in page.evaluate("events")]
    assert events[-1] == "load"
    assert "progress" in events
    assert "error" not in events
    assert page.get_by_role("img", name="A brass lantern").count() == 1
    assert page.evaluate("document.querySelector('streamxr-viewer').model.name") == "lantern"


def test_an_element_draws_a_base_that_arrives_late_and_alone(visit_page: Open, examples: Site) -> None:
    base = json.loads((examples.folder / CATALOGUE).read_text())["assets"]["lantern"]["base"]

    def late(route: Route) -> None:
        page.wait_for_timeout(1500)
        route.continue_()

    page = visit_page(
        "one.html",
        element('src="bundle.json" asset="lantern"', style="streamxr-viewer {width: 200px; height: 200px}"),
        # The other files are never answered.
        routes={"**/o/**": lambda _: None, f"**/{base['uri']}": late},
    )
    page.wait_for_function(ALL_LOADED)
    assert count_colours(page.locator("streamxr-viewer").screenshot()) > MANY_COLOURS


def test_css_sets_the_size_of_an_element(visit_page: Open) -> None:
    page = visit_page(
        "one.html", element('src="bundle.json" asset="lantern"', style="streamxr-viewer {width: 200px; height: 120px}")
    )
    page.wait_for_function(ALL_LOADED)
    canvas = page.locator("streamxr-viewer canvas")
    assert canvas.evaluate("(c) => [c.width, c.height]") == [200 * PIXEL_RATIO, 120 * PIXEL_RATIO]
    page.evaluate("document.querySelector('streamxr-viewer').style.width = '320px'")
    page.wait_for_function(
        "(width) => document.querySelector('streamxr-viewer').shadowRoot.querySelector('canvas').width === width",
        arg=320 * PIXEL_RATIO,
    )


def test_a_removed_element_frees_everything_and_a_moved_element_keeps_everything(visit_page: Open) -> None:
    page = visit_page("one.html", element('src="bundle.json" asset="lantern"'))
    page.wait_for_function(ALL_LOADED)
    page.evaluate("""() => {
        window.viewer = document.querySelector("streamxr-viewer");
        window.session = viewer.view.streamxr.session;
        window.context = viewer.view.renderer.getContext();
        const place = document.createElement("div");
        document.body.append(place);
        place.append(viewer);
    }""")
    page.wait_for_timeout(50)
    assert page.evaluate(
        "[session.streamer.assets.length, context.isContextLost(), viewer.hasAttribute('loaded')]"
    ) == [
        1,
        False,
        True,
    ]
    assert len(page.workers) > 0
    page.evaluate("viewer.remove()")
    page.wait_for_function("() => context.isContextLost()")
    assert page.evaluate("[session.streamer.assets.length, session.streamer.loading.length]") == [0, 0]
    page.wait_for_function("() => !viewer.hasAttribute('loaded')")
    assert page.workers == []
    page.evaluate("document.body.append(viewer)")
    page.wait_for_function(ALL_LOADED)


def test_a_change_of_the_asset_replaces_the_model(visit_page: Open) -> None:
    page = visit_page("one.html", element('src="bundle.json" asset="lantern"'))
    page.wait_for_function(ALL_LOADED)
    page.evaluate("document.querySelector('streamxr-viewer').asset = 'koi'")
    page.wait_for_function("() => document.querySelector('streamxr-viewer').model?.name === 'koi'")
    assert page.evaluate(f"{SESSION}.streamer.assets.map(({{id}}) => id)") == ["koi"]


def test_an_element_that_cannot_load_shows_the_reason_and_keeps_its_poster(visit_page: Open) -> None:
    page = visit_page("one.html", element('src="bundle.json" asset="unicorn"', "<p slot=poster>A unicorn</p>"))
    message = page.locator("streamxr-viewer [part=message]")
    message.get_by_text("unicorn").wait_for()
    assert "lantern" in message.inner_text(), "the message lists the assets that exist"
    assert [name for name, _ in page.evaluate("events")] == ["error"]
    assert page.get_by_text("A unicorn").is_visible()


def test_without_webgl_an_element_shows_what_to_do_and_keeps_its_poster(visit_page: Open) -> None:
    html = element('src="bundle.json" asset="lantern"', "<p slot=poster>A lantern</p>")
    page = visit_page("one.html", html, script=NO_WEBGL)
    page.locator("streamxr-viewer [part=message]").get_by_text("WebGL 2").wait_for()
    assert page.get_by_text("A lantern").is_visible()
    assert page.evaluate("events")[-1][0] == "error"


def test_an_element_loads_when_it_is_near_the_viewport(visit_page: Open) -> None:
    page = visit_page("one.html", "<div style='height: 3000px'></div>" + element('src="bundle.json" asset="lantern"'))
    page.wait_for_function("() => customElements.get('streamxr-viewer')")
    page.wait_for_timeout(200)
    started = """() => performance.getEntriesByType("resource")
        .filter(({ name }) => /bundle.json|element-view/.test(name)).length"""
    assert page.evaluate(started) == 0
    page.evaluate("document.querySelector('streamxr-viewer').scrollIntoView()")
    page.wait_for_function(ALL_LOADED)


@pytest.mark.parametrize("entry", ["page", "element"])
def test_the_code_before_the_first_asset_byte_fits_in_230_kb(
    entry: str, visit: Callable[..., Visit], visit_page: Open
) -> None:
    if entry == "page":
        page = visit("assets=lantern").page
        page.wait_for_function("() => window.streamxr?.frames.some(({ regions }) => regions.length > 0)")
    else:
        page = visit_page("one.html", element('src="bundle.json" asset="lantern"'))
        page.wait_for_function(ALL_LOADED)
    # All files except those of the bundle, in their transferred size: `streamxr serve` sends Brotli.
    code: dict[str, int] = page.evaluate("""() => Object.fromEntries(
        [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
            .map(({ name, encodedBodySize }) => [new URL(name).pathname, encodedBodySize])
            .filter(([path]) => !/^[/](o|a)[/]|^[/]bundle[.]json/.test(path)))""")
    assert any("draco" in path for path in code), "the decoder is part of the first load"
    assert [path for path, size in code.items() if size == 0] in ([], ["/one.html"])
    assert sum(code.values()) <= FIRST_LOAD_BYTES, code
    lazy = ("/hud", "/presence", "/avatars", "/xr-", "/ktx2", "/basis")
    assert [path for path in code if any(word in path for word in lazy)] == []
