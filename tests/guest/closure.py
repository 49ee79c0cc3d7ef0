# SPDX-License-Identifier: Apache-2.0
"""What a dynamically linked program needs beside itself in an initramfs: its libraries and loader."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path


def libraries(program: Path) -> list[Path]:
    """Absolute paths as the loader will look for them; empty for a static program.

    ldd runs the loader on the program: fine for what we built ourselves, never for foreign files.
    """
    result = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        return []
    missing = re.findall(r"(\S+) => not found", result.stdout)
    if missing:
        raise RuntimeError(f"{program}: missing libraries {', '.join(missing)}")
    return [Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", result.stdout, flags=re.MULTILINE)]
