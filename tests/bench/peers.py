# SPDX-License-Identifier: Apache-2.0
"""Programs that are measured in a process of their own, each with its figures as one line of JSON."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.bench.settings import CannotMeasure, Settings


def find(name: str) -> str:
    """The path of an installed peer."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not path:
        raise CannotMeasure(f"{name} is not installed (tests/bench/run installs it unless --no-install is given)")
    return path


def last_json(command: list[str | Path], timeout: float, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The last line that is JSON, of stdout or stderr."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout,
                              check=False, env={**os.environ, **(env or {})})
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotMeasure(str(error)) from None
    lines = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise CannotMeasure(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return dict(json.loads(lines[-1]))


def agent(settings: Settings, samples: int, warm: int, pause_usec: int, look: str, rescan_usec: int = 0) -> dict[str, Any]:
    """
    look: "calm", what the agent itself chooses to read, or "full", vmstat and io pressure each time.
    rescan_usec: how often all memory blocks are looked over, 0 = as the agent does.
    """
    return last_json([settings.bench_program("bench-agent"), str(samples), str(warm), str(pause_usec), look, str(rescan_usec)],
                     _patience_s(samples + warm, pause_usec))


def floor(settings: Settings, samples: int, warm: int, pause_usec: int, look: str) -> dict[str, Any]:
    return last_json([settings.bench_program("bench-floor"), str(samples), str(warm), str(pause_usec), look],
                     _patience_s(samples + warm, pause_usec))


def earlyoom(settings: Settings, samples: int, warm: int, pause_usec: int) -> dict[str, Any]:
    """As Debian starts it (-r 3600), told to kill nobody, at our pace instead of its own."""
    return last_json([find("earlyoom"), "-r", "3600", "--dryrun"], _patience_s(samples + warm, pause_usec),
                     {"LD_PRELOAD": str(settings.bench_program("earlyoom-pace.so")),
                      "BENCH": f"{samples} {warm} {pause_usec}"})


def _patience_s(samples: int, pause_usec: int) -> float:
    return 60 + samples * (pause_usec + 2000) / 1e6
