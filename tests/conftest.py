from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Timings are never asserted: a loaded machine is not a defect. The examples are the same in every run.
settings.register_profile("streamxr", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("streamxr")


# A shell's background job, and what it starts, is deaf to Ctrl-C: the builds that the tests end would not be ended.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--models",
        type=Path,
        metavar="DIR",
        help="show what holds for any model on every model below DIR too",
    )
    parser.addoption("--wheel", type=Path, metavar="FILE", help="check this wheel, not one that the tests build")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browsers last: Playwright keeps an event loop running in this thread, where others want their own."""
    items.sort(key=lambda item: "e2e" in item.path.parts)
