"""Messages between the processes of a build: the job that the parent sends, and the events that come back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .asset_report import AssetReport


@dataclass(frozen=True)
class Job:
    """One model to build: its file, its name below the source folder, and its asset id."""

    path: Path
    name: str
    asset: str


@dataclass(frozen=True)
class StageProgress:
    """How many tasks of an asset's current stage are done."""

    asset: str
    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Failure:
    """Why an asset was not built. `text` is for the artist; `trace`, a Python traceback, is for a bug report."""

    asset: str
    source: str
    text: str
    trace: str = ""


@dataclass(frozen=True)
class Notice:
    """One line about work that delays all models."""

    text: str


Event = StageProgress | AssetReport | Failure | Notice
