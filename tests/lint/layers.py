# SPDX-License-Identifier: Apache-2.0
"""Holds #include lines to the layers of ARCHITECTURE.md: main -> owner -> modules -> proto -> common.

A module never includes its owner, agent/ and host-bridge/ never each other, a pure core only itself and
common/{units,vocabulary,macro}.h, generated protobuf only proto/wire*.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

OURS = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
SYSTEM = re.compile(r"^\s*#\s*include\s+<([^>]+)>", re.M)
PURE = ("agent/policy/", "host-bridge/policy/")
PURE_OURS = {"common/units.h", "common/vocabulary.h", "common/macro.h"}
PURE_SYSTEM = {"stdbool.h", "stddef.h", "stdint.h", "string.h", "assert.h", "limits.h", "errno.h"}
OWNERS = {"agent/agent.h", "host-bridge/bridge.h"}
OWNER_FILES = re.compile(r"^(agent/(main|agent[a-z-]*)|host-bridge/(main|bridge[a-z-]*|rounds))\.[ch]$")


def complaints(path: str, text: str) -> list[str]:
    found = []
    ours, system = set(OURS.findall(text)), set(SYSTEM.findall(text))
    if path.startswith(PURE):
        folder = next(p for p in PURE if path.startswith(p))
        found += [f"pure core includes {i}" for i in ours if not i.startswith(folder) and i not in PURE_OURS]
        found += [f"pure core includes <{i}>" for i in system - PURE_SYSTEM]
    if path.startswith("common/"):
        found += [f"common includes {i}" for i in ours if not i.startswith("common/")]
    if path.startswith("proto/"):
        found += [f"proto includes {i}" for i in ours if i.split("/")[0] in ("agent", "host-bridge")]
    elif any(i.endswith(".pb-c.h") for i in ours | system):
        found.append("sees protobuf outside proto/")
    for mine, other in (("agent/", "host-bridge/"), ("host-bridge/", "agent/")):
        if path.startswith(mine):
            found += [f"includes {i} of the other daemon" for i in ours if i.startswith(other)]
    if not OWNER_FILES.match(path):
        found += [f"a module includes its owner {i}" for i in ours & OWNERS]
    return found


def main() -> int:
    failures = []
    for folder in ("common", "proto", "agent", "host-bridge"):
        for path in sorted(Path(folder).rglob("*.[ch]")):
            failures += [f"{path}: {what}" for what in complaints(str(path), path.read_text())]
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
