# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin: writes down why a test failed that is tried once more, so that it is not forgotten when it then passes.

pytest-rerunfailures tries again, and keeps the reason to itself. Lines of $MEMTIDE_UNSTEADY: the test as JUnit's names have
it, a tab, the reason. The whole of it is in the file of that name and .log.
"""
from __future__ import annotations

import os
from pathlib import Path

import pytest

LIST = os.environ.get("MEMTIDE_UNSTEADY")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # The runs of pytest-xdist's workers are reported once more by the one who started them.
    if report.outcome != "rerun" or not LIST or "PYTEST_XDIST_WORKER" in os.environ:
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    why = crash.message if crash else str(report.longrepr)
    module, _, name = report.nodeid.partition("::")
    with open(LIST, "a", encoding="utf-8") as file:
        file.write(f"{Path(module).stem}::{name}\t{why.splitlines()[0] if why else 'no reason given'}\n")
    with open(LIST + ".log", "a", encoding="utf-8") as file:
        file.write(f"{report.nodeid}\n{report.longreprtext}\n\n")
