# SPDX-License-Identifier: Apache-2.0
"""A running machine as a whole: moved live into another QEMU, or put back to what it was."""
from __future__ import annotations

import time
from typing import Any

from tests.guest.config import GIB
from tests.guest.guest import Guest, GuestError
from tests.guest.wait import wait_for


def migrate(source: Guest, target: Guest, timeout: float = 60.0) -> None:
    """Live, to a guest of the same shape that was started with `incoming`; returns when it runs there."""
    uri = f"unix:{target.paths.folder / 'incoming.sock'}"
    target.qmp.command("migrate-incoming", uri=uri)
    source.qmp.command("migrate-set-parameters", max_bandwidth=4 * GIB, downtime_limit=1000)
    source.qmp.command("migrate", uri=uri)

    def is_over() -> bool:
        status = source.qmp.command("query-migrate").get("status")
        if status in ("failed", "cancelled"):
            raise GuestError(f"{source.config.name}: its migration {status}")
        return bool(status == "completed")
    wait_for("the migration to end", is_over, timeout)
    wait_for("the other side to run", lambda: target.qmp.command("query-status")["running"], timeout)


def save_state(guest: Guest, tag: str) -> None:
    """What savevm does, to the place that `snapshots` made."""
    _snapshot(guest, "save", tag)


def load_state(guest: Guest, tag: str) -> None:
    """What loadvm does: the machine is as it was then, and runs on from there."""
    guest.qmp.command("stop")
    _snapshot(guest, "load", tag)
    guest.qmp.command("cont")


def _snapshot(guest: Guest, what: str, tag: str, timeout: float = 60.0) -> None:
    job = f"{what}-{tag}-{time.monotonic_ns()}"
    guest.qmp.command(f"snapshot-{what}", job_id=job, tag=tag, vmstate="state", devices=["state"])

    def concluded() -> list[dict[str, Any]]:
        return [j for j in guest.qmp.command("query-jobs") if j["id"] == job and j["status"] == "concluded"]
    error = wait_for(f"the snapshot to {what}", concluded, timeout)[0].get("error")
    guest.qmp.command("job-dismiss", id=job)
    if error:
        raise GuestError(f"{guest.config.name}: snapshot-{what}: {error}")
