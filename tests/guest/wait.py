# SPDX-License-Identifier: Apache-2.0
"""Waiting for a state of the world with a deadline: the only kind of sleep that tests may have."""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Tests name the time that a thing takes on a quiet machine, with some room. CI's is shared: what comes late there is
# late and not wrong, so all of them wait this much longer before they give up. What must not come at all is `stays`.
PATIENCE = 4


def wait_for(what: str, condition: Callable[[], T], timeout: float, interval: float = 0.1) -> T:
    """The first true value of `condition`; AssertionError that names `what` when there is none in PATIENCE times `timeout`."""
    deadline = time.monotonic() + PATIENCE * timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {PATIENCE * timeout:g} s: {what} (last: {value!r})")
        time.sleep(interval)


def stays(what: str, condition: Callable[[], object], seconds: float, interval: float = 0.2) -> None:
    """`condition` holds all the time; AssertionError at the first moment when it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"ceased within {seconds:g} s: {what}"
        time.sleep(interval)
