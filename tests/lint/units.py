# SPDX-License-Identifier: Apache-2.0
"""systemd understands every line of the units, and they are as closed as they were: its own score of what a service could
do, held to a bound.

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


def complaints(units: list[Path]) -> list[str]:
    """What systemd-analyze says of them. It exits with 0 also where a key is misspelt."""
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False,
                          timeout=30)
    return [line for line in (done.stdout + done.stderr).splitlines() if "memtide" in line]


def foreign_commands(unit: Path, bindir: str) -> list[str]:
    """Programs that a minimal system may not have; kill(1) is one."""
    commands = re.findall(r"^Exec\w+=[-@:+!]*(\S+)", unit.read_text(), re.M)
    return [f"{unit.name}: {command} is not ours" for command in commands
            if not command.startswith(f"{bindir}/memtide-") and command != "/bin/sh"]


def main() -> int:
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, "memtide-bridge.socket")
        socket.write_text(Path("packaging", socket.name).read_text())
        units = [Path(folder, name) for name in BOUNDS]
        for unit in units:
            unit.write_text(Path("packaging", f"{unit.name}.in").read_text().replace("@bindir@", folder))
            Path(folder, unit.stem).symlink_to("/bin/true")
            score = exposure(unit)
            print(f"{unit.name}: exposure {score}, at most {BOUNDS[unit.name]}")
            failures += [f"{unit.name} is more open than it was"] if score > BOUNDS[unit.name] else []
            failures += foreign_commands(unit, folder)
        failures += complaints([*units, socket])
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
