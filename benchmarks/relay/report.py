"""The relay's section of docs/benchmarks.md, and its chart, from the results."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from reporting import table
from servers import CONTENDERS

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "benchmarks.md"
CHART = DOCUMENT.with_name("benchmarks-relay.svg")
HEADING = "# The relay"
LIMIT_MS = 50.0
LEAST_DELIVERED = 0.9
TITLES = {contender.key: contender.title for contender in CONTENDERS}


def is_good(key: str, result: dict[str, Any]) -> bool:
    """Whether a server can serve a room: no client is lost, the load is sent, p99 is within the limit, and the poses
    are delivered. Cells leave poses out by design, so the last condition is not for them."""
    return (
        "failed" not in result
        and result["closed"] == 0
        and result["sent_share"] >= 0.95
        and result.get("p99_ms", math.inf) <= LIMIT_MS
        and (key == "cells" or result["delivered_share"] >= LEAST_DELIVERED)
    )


def largest(key: str, results: list[dict[str, Any]]) -> int:
    return max((result["people"] for result in results if is_good(key, result)), default=0)


def write(results: dict[str, Any]) -> None:
    """Replace the relay's section of the document, up to the next heading of the same level, and the chart."""
    document = DOCUMENT.read_text("utf-8") if DOCUMENT.exists() else ""
    before, _, rest = document.partition(f"\n{HEADING}\n")
    _, separator, following = rest.partition("\n# ")
    after = f"\n# {following}" if separator else ""
    DOCUMENT.write_text(f"{before.rstrip()}\n\n{markdown(results).rstrip()}\n{after}", "utf-8")
    if "sizes" in results:
        CHART.write_text(chart(results["sizes"]), "utf-8")


def markdown(results: dict[str, Any]) -> str:
    machine = results["machine"]
    versions = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    text = [
        HEADING,
        "",
        "Written by `make bench-relay`. Everyone sends 30 poses per second, head and both hands.",
        f"Machine: {machine['cores']} cores of {machine['processor']}, one for the server and one for the load; Python "
        f"{machine['python']}, Node {machine['node']}. Each run lasts {machine['seconds']:g} s after a warm-up of 2 s; "
        f"the tables show the median of {machine['repetitions']} interleaved runs.",
        f"Other servers: {', '.join(f'{name} {version}' for name, version in versions.items())}.",
    ]
    text += [machine["note"]] if machine["note"] else []
    text += [
        "",
        "- Age: the time from the moment a client sends a pose until another client reads it. About 8 clients, the "
        "probes, measure it for every pose that they receive.",
        "- Other clients read headers only. The table shows how busy the load generator's core is.",
        "- Largest room: no client is lost, 95 % of the poses can be sent, 90 % are delivered (except in cell mode), "
        "and p99 is at most 50 ms.",
        "- Delivered: received poses as a share of sent poses × other clients in the room. Two poses of one sender "
        "within a tick arrive as one. In cell mode most poses arrive at 5 Hz by design.",
        "",
    ]
    if "sizes" in results:
        text += [f"![Participants against p99 pose age]({CHART.name})", "", *sizes_tables(results["sizes"])]
    if "rooms" in results:
        text += rooms_table(results["rooms"])
    if "slow" in results:
        text += slow_lines(results["slow"])
    if "memory" in results:
        text += memory_lines(results["memory"])
    return "\n".join(text).rstrip() + "\n"


def sizes_tables(sizes: dict[str, list[dict[str, Any]]]) -> list[str]:
    best = largest("full", sizes["full"])
    rows = []
    for key, results in sizes.items():
        if not results:
            continue
        top = largest(key, results)
        at_500 = next((r for r in results if r["people"] == 500 and "failed" not in r), None)
        rows.append(
            [
                TITLES[key],
                f"{top}" + ("" if top < results[-1]["people"] else " or more"),
                f"{best / top:.1f}" if top and key not in ("full", "cells") else "–",
                f"{at_500['cpu_us_per_pose']:.3f}" if at_500 else "–",
                f"{at_500['bits_per_s'] / 1e6:.2f}" if at_500 else "–",
            ]
        )
    head = ["", "largest room", "ours ÷ this", "CPU µs per delivered pose at 500", "Mbit/s per client at 500"]
    text = ["## One room", "", *table(head, rows), "", "p99 of the age in ms (least–most of all runs):", ""]
    people = sorted({result["people"] for results in sizes.values() for result in results})
    keys = [key for key in sizes if sizes[key]]
    by_size = {key: {result["people"]: result for result in sizes[key]} for key in keys}
    rows = [[str(size), *(p99(by_size[key].get(size)) for key in keys)] for size in people]
    text += [*table(["people", *(TITLES[key] for key in keys)], rows), ""]
    head = ["people", "", "p50 ms", "p99 ms", "delivered", "Mbit/s per client", "server CPU", "load CPU"]
    rows = []
    for key in keys:
        for size in (150, 500, 1000):
            if (result := by_size[key].get(size)) and "failed" not in result:
                rows.append([str(size), TITLES[key], *figures(result)])
    return [*text, *table(head, rows), ""]


def figures(result: dict[str, Any]) -> list[str]:
    return [
        f"{result.get('p50_ms', math.nan):.1f}",
        f"{result.get('p99_ms', math.nan):.1f}",
        f"{100 * result['delivered_share']:.0f} %",
        f"{result['bits_per_s'] / 1e6:.2f}",
        f"{100 * result['cpu_share']:.0f} %",
        f"{100 * result['load_cpu_share']:.0f} %",
    ]


def rooms_table(results: dict[str, dict[str, Any]]) -> list[str]:
    any_result = next(iter(results.values()))
    head = ["", "p50 ms", "p99 ms", "delivered", "Mbit/s per client", "server CPU", "load CPU"]
    rows = [
        [TITLES[key], *(["failed"] + ["–"] * 5 if "failed" in result else figures(result))]
        for key, result in results.items()
    ]
    return [f"## {any_result['people']} people in {any_result['rooms']} rooms", "", *table(head, rows), ""]


def slow_lines(results: dict[str, Any]) -> list[str]:
    heading = "## One client that reads nothing and one that reads 50 KB/s, among 150"
    minute = results["minute"]
    if any("failed" in results[run] for run in ("without", "beside", "minute")):
        return [heading, "", "The run failed.", ""]
    ratio = results["beside"]["p99_ms"] / results["without"]["p99_ms"]
    memory = [size / 1e6 for size in minute["memory_bytes"]]
    slow_age = minute.get("slow_p99_ms")
    return [
        heading,
        "",
        f"- p99 for the other clients: {results['beside']['p99_ms']:.1f} ms with these two, "
        f"{results['without']['p99_ms']:.1f} ms without them (ratio {ratio:.2f}).",
        f"- p99 for the slow client: {slow_age:.0f} ms." if slow_age else "- The slow client received no pose.",
        f"- Memory of the server over {len(memory) - 1} s: {min(memory):.1f}–{max(memory):.1f} MB, "
        f"{memory[-1]:.1f} MB at the end.",
        "",
    ]


def memory_lines(results: dict[str, Any]) -> list[str]:
    return [
        "## Memory per connection",
        "",
        f"- Idle, {results['people']} people in rooms of ten: {results['idle'] / 1000:.1f} KB.",
        f"- {results['people']} people moving in one room: {results['loaded'] / 1000:.1f} KB "
        f"(a tick of that room has {(8 + 34 * results['people']) / 1000:.0f} KB).",
        "",
    ]


def p99(result: dict[str, Any] | None) -> str:
    if result is None:
        return "–"
    if "failed" in result or "p99_ms" not in result:
        return "failed"
    return f"{result['p99_ms']:.0f} ({result['p99_least_ms']:.0f}–{result['p99_most_ms']:.0f})"


def chart(sizes: dict[str, list[dict[str, Any]]]) -> str:
    """An SVG of p99 by participants, both on logarithmic scales, with the limit."""
    left, right, top, bottom, width, height = 64, 340, 20, 48, 960, 420
    most = max(result["people"] for results in sizes.values() for result in results)

    def x(people: float) -> float:
        return left + (width - left - right) * math.log(people / 10) / math.log(most / 10)

    def y(ms: float) -> float:
        return height - bottom - (height - top - bottom) * math.log(min(max(ms, 1), 1000)) / math.log(1000)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for ms in (1, 10, 50, 100, 1000):
        dashed = ' stroke-dasharray="5 4"' if ms == LIMIT_MS else ""
        stroke = "#333" if ms == LIMIT_MS else "#ddd"
        parts.append(
            f'<path d="M{left} {y(ms):.1f}H{width - right}" stroke="{stroke}"{dashed}/>'
            f'<text x="{left - 6}" y="{y(ms) + 4:.1f}" text-anchor="end">{ms}</text>'
        )
    parts += [
        f'<path d="M{x(people):.1f} {top}V{height - bottom}" stroke="#eee"/>'
        f'<text x="{x(people):.1f}" y="{height - bottom + 18}" text-anchor="middle">{people}</text>'
        for people in (10, 20, 50, 100, 200, 500, 1000)
        if people <= most
    ]
    middle = (left + width - right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{height - 8}" text-anchor="middle">participants in one room</text>')
    parts.append(
        f'<text transform="translate(16 {height / 2:.0f}) rotate(-90)" text-anchor="middle">p99 age, ms</text>'
    )
    for index, contender in enumerate(CONTENDERS):
        points = [(r["people"], r["p99_ms"]) for r in sizes.get(contender.key, []) if r.get("p99_ms")]
        if points:
            line = "L".join(f"{x(people):.1f} {y(ms):.1f}" for people, ms in points)
            parts.append(f'<path d="M{line}" fill="none" stroke="{contender.color}" stroke-width="2"/>')
            parts += [
                f'<circle cx="{x(people):.1f}" cy="{y(ms):.1f}" r="3" fill="{contender.color}"/>'
                for people, ms in points
            ]
        at = top + 14 + 20 * index
        parts.append(
            f'<circle cx="{width - right + 14}" cy="{at - 4}" r="4" fill="{contender.color}"/>'
            f'<text x="{width - right + 24}" y="{at}">{contender.title}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"
