"""Reports of `streamxr publish`: progress on a terminal, lines to read, and JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..bundle.files import content_hash
from ..console import stderr

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from rich.progress import Progress, TaskID

    from .history import Kept
    from .plan import Plan
    from .prune import Pruned
    from .publish import Publication
    from .store import Content, Store
    from .upload import Progress as OnProgress

REFRESH_EVERY = 16  # files between two updates of the display


class Display:
    """A progress bar on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def __enter__(self) -> Display:
        return self

    def start(self, plan: Plan) -> OnProgress:
        """Show the bar of a plan; returns the function that moves it."""
        total = len(plan.content) + len(plan.manifests) + len(plan.page)
        if not total or not sys.stderr.isatty():
            return lambda *_: None
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TextColumn("files"))
        self._bar = Bar(
            *columns, TextColumn("{task.fields[size]}"), TimeRemainingColumn(), console=stderr(), transient=True
        )
        self._bar.start()
        task: TaskID = self._bar.add_task("", total=total, size="")
        bar = self._bar

        def move(files: int, sent_bytes: int) -> None:
            if files % REFRESH_EVERY == 0 or files == total:
                bar.update(task, completed=files, size=megabytes(sent_bytes))

        return move

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def published(result: Publication, store: Store, encoding: str, *, as_json: bool) -> str:
    """The report of a publication."""
    plan, sent = result.plan, result.sent
    if as_json:
        state = "unchanged" if plan.nothing_to_do else "published"
        return _json(
            {
                **_changes(plan, store, state),
                "catalogue": result.catalogue,
                "variant": encoding or "plain",
                "sent": {"files": sent.files, "bytes": sent.bytes, "present": sent.present},
                "requests": store.requests,
                "guard": "lock object" if result.guard else "conditional write",
            }
        )
    if plan.nothing_to_do:
        return f"nothing changed: {store.place}"
    variant = f"page and JSON stored as {encoding}" if encoding else "all stored plain"
    present = f", {sent.present:,} were there" if sent.present else ""
    return f"published: {sent.files:,} files, {megabytes(sent.bytes)} sent{present}, {variant} → {store.place}"


def planned(plan: Plan, store: Store, *, by_file: bool, as_json: bool) -> str:
    """A plan: its files with `by_file`, else its models."""
    files = [{"file": file.key, "bytes": file.bytes} for file in plan.missing]
    if as_json:
        state = "unchanged" if plan.nothing_to_do else "planned"
        return _json({**_changes(plan, store, state), "files": files, "page": sorted(plan.page)})
    lines = [f"{file['bytes']:>12,}  {file['file']}" for file in files] if by_file else []
    lines += [f"{'page':>12}  {key}" for key in sorted(plan.page)] if by_file else []
    if not by_file:
        for sign, names in (("+", plan.assets.added), ("~", plan.assets.changed), ("-", plan.assets.removed)):
            lines += [f"{sign} {name}" for name in names]
    if plan.nothing_to_do:
        return f"nothing would change: {store.place}"
    size = megabytes(sum(file.bytes for file in plan.missing))
    return "\n".join([*lines, f"would send {len(files):,} files of models, {size}, and {len(plan.page)} of the page"])


def listed(current: Content | None, kept: Sequence[Kept], store: Store, *, as_json: bool) -> str:
    """The published catalogue and the kept ones."""
    now = {"published": _time(current.modified), "catalogue": content_hash(current.plain())} if current else None
    rows = [
        {
            "rollback": number,
            "published": _time(each.published),
            "replaced": _time(each.replaced),
            "catalogue": each.hash,
        }
        for number, each in enumerate(kept, 1)
    ]
    if as_json:
        return _json({"target": store.place, "current": now, "kept": rows})
    if now is None:
        return f"nothing is published in {store.place}"
    lines = [f"{'now':>4}  {now['published']}  {now['catalogue']}"]
    lines += [f"{row['rollback']:>4}  {row['published']}  {row['catalogue']}" for row in rows]
    return "\n".join(lines)


def rolled_back(kept: Kept, store: Store, *, as_json: bool) -> str:
    """The catalogue that was put back."""
    if as_json:
        return _json({"target": store.place, "catalogue": kept.hash, "published": _time(kept.published)})
    return f"put back: the catalogue of {_time(kept.published)}, {kept.hash} → {store.place}"


def pruned(result: Pruned, store: Store, *, dry_run: bool, as_json: bool) -> str:
    """The files that were deleted, and the catalogues that retired."""
    if as_json:
        return _json(
            {
                "target": store.place,
                "dryRun": dry_run,
                "deleted": [{"file": each.key, "bytes": each.bytes} for each in result.files],
                "retired": [each.hash for each in result.retired],
                "kept": result.kept,
            }
        )
    lines = [f"{each.bytes:>12,}  {each.key}" for each in result.files] if dry_run else []
    would = "would delete" if dry_run else "deleted"
    lines.append(f"{would} {len(result.files):,} files, {megabytes(result.bytes)}; {result.kept} catalogues are kept")
    if result.retired:
        verb = "would retire" if dry_run else "retired"
        lines.append(
            f"{verb} {len(result.retired)} catalogues; a later --prune deletes their files after the grace time"
        )
    return "\n".join(lines)


def megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"


def _changes(plan: Plan, store: Store, state: str) -> dict[str, Any]:
    assets = plan.assets
    changes = {"added": assets.added, "changed": assets.changed, "removed": assets.removed}
    return {"target": store.place, "state": state, "assets": {key: list(names) for key, names in changes.items()}}


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False)


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
