# SPDX-License-Identifier: Apache-2.0
"""The units are as closed as they were: systemd's own score of what a service could do, held to a bound.

memtide-bridge stays above the best possible because the sockets of VMs and the figures of their processes are other users':
it is root with CAP_DAC_OVERRIDE, and sees /proc.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

BOUNDS = {"memtide-agent.service": 2.0, "memtide-bridge.service": 1.1}


def exposure(unit: Path) -> float:
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True,
                          text=True, check=False, timeout=30)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    if not found:
        raise SystemExit(f"{unit}: systemd-analyze says nothing of it: {done.stdout}{done.stderr}")
    return float(found[1])


def main() -> int:
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, bound in BOUNDS.items():
            unit = Path(folder, name)
            unit.write_text(Path("packaging", f"{name}.in").read_text().replace("@bindir@", "/usr/bin"))
            score = exposure(unit)
            print(f"{name}: exposure {score}, at most {bound}")
            failures += score > bound
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
