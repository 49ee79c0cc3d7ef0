# SPDX-License-Identifier: Apache-2.0
"""Fetch one package of Debian by the machine's own apt, without installing it and without root.

Sources, mirrors and keys are those that the machine has; nothing here names an archive. When the
machine's package lists are missing, cut down or out of date, or when the package is of another release
than the machine, a private apt state folder is used, so that nothing on the machine changes.
"""
from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

# Of debian-archive-keyring: the keys of every release that is still in the archive.
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class AptError(Exception):
    """apt cannot give us what we need; the text says what was tried."""


def _run(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False,
                          env={**os.environ, "LC_ALL": "C"})


class Apt:
    """apt with the machine's lists or, after refresh(), with lists of our own below `state`.

    With a `suite`, such as bookworm-backports, refresh() fetches the lists of that suite alone, from the mirror
    that serves the machine's own release.
    """

    def __init__(self, state: Path, suite: str | None = None) -> None:
        self._state = state
        self._suite = suite
        self._options: list[str] = []

    def refresh(self) -> None:
        """Fetch fresh lists into the private folder and use them from here on (0.3 to 10 MB)."""
        lists = self._state / "lists" / "partial"
        archives = self._state / "cache" / "archives" / "partial"
        for folder in (lists, archives):
            folder.mkdir(parents=True, exist_ok=True)
        self._options = [
            "-o", f"Dir::State={self._state}",
            "-o", "Dir::State::status=/var/lib/dpkg/status",
            "-o", f"Dir::Cache={self._state / 'cache'}",
            "-o", "Acquire::Languages=none",
            "-o", "APT::Sandbox::User=",  # root may not own the folder that _apt would have to enter
            *self._suite_options(),
        ]
        result = _run(["apt-get", "-q", *self._options, "update"])
        if result.returncode != 0:
            raise AptError(f"apt-get update into {self._state} failed:\n{result.stderr.strip()}")

    def _suite_options(self) -> list[str]:
        """The suite as the only source; installed packages and pins of the machine are not for it to see."""
        if self._suite is None:
            return []
        if not KEYRING.exists():
            raise AptError(f"no {KEYRING} to check {self._suite} with (package debian-archive-keyring)")
        source, status = self._state / "sources.list", self._state / "status"
        source.write_text(f"deb [signed-by={KEYRING}] {mirror()} {self._suite} main\n", encoding="ascii")
        status.touch()
        return ["-o", f"Dir::State::status={status}", "-o", f"Dir::Etc::SourceList={source}",
                "-o", "Dir::Etc::SourceParts=-", "-o", "Dir::Etc::Preferences=-", "-o", "Dir::Etc::PreferencesParts=-"]

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


def codename() -> str:
    """Of the release that this machine runs."""
    found = re.search(r"^VERSION_CODENAME=(\S+)", Path("/etc/os-release").read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise AptError("/etc/os-release names no release")
    return found.group(1)


def mirror() -> str:
    """Where the machine gets its own release from; its updates and foreign archives have other suites."""
    targets = _run(["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE)",
                    "Created-By: Packages"])
    for uri, _, release in (line.partition(" ") for line in targets.stdout.splitlines()):
        if release == codename():
            return uri
    raise AptError("apt has no source for the running release")
