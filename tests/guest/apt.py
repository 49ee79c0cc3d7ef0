# SPDX-License-Identifier: Apache-2.0
"""Fetch one package of the running Debian by its own apt, without installing it and without root.

Sources, mirrors and keys are those that the machine has; nothing here names an archive. When the
machine's package lists are missing, cut down or out of date, a private apt state folder is used, so
that nothing on the machine changes.
"""
from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path


class AptError(Exception):
    """apt cannot give us what we need; the text says what was tried."""


def _run(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False,
                          env={**os.environ, "LC_ALL": "C"})


class Apt:
    """apt with the machine's lists or, after refresh(), with lists of our own below `state`."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._options: list[str] = []

    def refresh(self) -> None:
        """Fetch fresh lists into the private folder and use them from here on (about 10 MB)."""
        lists = self._state / "lists" / "partial"
        archives = self._state / "cache" / "archives" / "partial"
        for folder in (lists, archives):
            folder.mkdir(parents=True, exist_ok=True)
        self._options = [
            "-o", f"Dir::State={self._state}",
            "-o", "Dir::State::status=/var/lib/dpkg/status",
            "-o", f"Dir::Cache={self._state / 'cache'}",
            "-o", "APT::Sandbox::User=",  # root may not own the folder that _apt would have to enter
        ]
        result = _run(["apt-get", "-q", *self._options, "update"])
        if result.returncode != 0:
            raise AptError(f"apt-get update into {self._state} failed:\n{result.stderr.strip()}")

    def dependency(self, package: str, pattern: str) -> str | None:
        """The first dependency of the candidate version of `package` that matches `pattern`."""
        result = _run(["apt-cache", *self._options, "depends", "--important", package])
        for name in re.findall(r"^\s*Depends: (\S+)", result.stdout, flags=re.MULTILINE):
            if re.fullmatch(pattern, name):
                return name
        return None

    def version(self, package: str) -> str | None:
        """The candidate version of `package`."""
        result = _run(["apt-cache", *self._options, "show", "--no-all-versions", package])
        found = re.search(r"^Version: (\S+)", result.stdout, flags=re.MULTILINE)
        return found.group(1) if found else None

    def download(self, package: str, folder: Path) -> Path | None:
        """Fetch the package into `folder`, checked by apt's own chain of signatures."""
        folder.mkdir(parents=True, exist_ok=True)
        options = self._options or ["-o", "APT::Sandbox::User="]
        result = _run(["apt-get", "-q", *options, "download", package], cwd=folder)
        packages = sorted(folder.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
        return packages[-1] if result.returncode == 0 and packages else None
