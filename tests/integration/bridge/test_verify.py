# SPDX-License-Identifier: Apache-2.0
"""memtidectl verify: one file, as the daemon that reads it would have it; and what bash offers to complete."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import BUILD, ROOT

CTL = BUILD / "host-bridge" / "memtidectl"


def verify(file: Path) -> subprocess.CompletedProcess[str]:
    path = f"{BUILD / 'agent'}:{os.environ['PATH']}"
    return subprocess.run([CTL, "verify", file], capture_output=True, text=True, check=False, timeout=20,
                          env={**os.environ, "PATH": path})


@pytest.mark.parametrize(("text", "says"), [
    ("[Host]\nBudget=8G\n", "bridge.conf(5)"),
    ("# nothing\n", "bridge.conf(5)"),
    ("\n[VM]\nMin=512M\nMax=device\n", "vm.conf(5)"),
    ("[Blocks]\n", "agent.conf(5)"),
])
def test_good(folder: Path, text: str, says: str) -> None:
    file = folder / "x.conf"
    file.write_text(text, encoding="utf-8")
    done = verify(file)
    assert (done.returncode, done.stderr) == (0, "") and f"{file}: nothing is wrong, as {says}" in done.stdout


@pytest.mark.parametrize(("text", "words"), [
    ("[Host]\nBudget=8G\n[Shrink]\nPolicy=maybe\n", [":4:", "maybe"]),
    ("[Shrink]\nPolicy=maybe\n[Host]\nBudget=much\n", [":2:", ":4:"]),
    ("[VM]\nMax=1G\n\nMin=2G\n", [":4:", "Min=2G"]),
    ("[VM]\nMax=99999999999G\n", [":2:"]),
    ("[Agent]\nOnly=nonsense\nnonsense\n", [":3:"]),
    ("nonsense\n", [":1:"]),
])
def test_bad(folder: Path, text: str, words: list[str]) -> None:
    file = folder / "x.conf"
    file.write_text(text, encoding="utf-8")
    done = verify(file)
    assert done.returncode == 2 and done.stdout == ""
    assert all(f"{file}{word}" in done.stderr if word[0] == ":" else word in done.stderr for word in words), done.stderr


def test_what_is_no_file_to_trust(folder: Path) -> None:
    assert verify(folder / "none").returncode == 1
    file = folder / "x.conf"
    file.write_text("[Host]\nBugdet=8G\n", encoding="utf-8")
    done = verify(file)
    assert done.returncode == 0 and "warning" in done.stderr and f"{file}:2" in done.stderr
    file.chmod(0o666)
    assert verify(file).returncode == 2
    assert subprocess.run([CTL, "verify"], capture_output=True, check=False, timeout=20).returncode == 2


@pytest.mark.parametrize(("words", "offered"), [
    (["re"], {"resize", "resume"}),
    (["status", ""], {"alpha", "b-1"}),
    (["resize", "alpha", ""], set()),
    (["list", "--js"], {"--json"}),
    (["on", "g"], {"grown"}),
])
def test_completion(folder: Path, words: list[str], offered: set[str]) -> None:
    fake = folder / "memtidectl"
    fake.write_text('#!/bin/sh\nprintf \'{\\n  "vms": [\\n    {\\n      "name": "alpha"\\n    },\\n    {\\n'
                    '      "name": "b-1",\\n      "state": "managed"\\n    }\\n  ]\\n}\\n\'\n', encoding="utf-8")
    fake.chmod(0o755)
    script = (f"source {ROOT}/packaging/memtidectl.bash; COMP_WORDS=(memtidectl \"$@\"); COMP_CWORD=$#; _memtidectl; "
              "printf '%s\\n' \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True, timeout=20,
                          env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
    assert set(done.stdout.split()) == offered
