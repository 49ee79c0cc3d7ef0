# SPDX-License-Identifier: Apache-2.0
"""A fixture's /proc and /sys that a test can move: memory comes, goes, is used and reclaimed."""
from __future__ import annotations

import fcntl
import os
import select
import shutil
import threading
from pathlib import Path

MIB = 1 << 20
FIXTURE = Path(__file__).resolve().parents[2] / "fixtures" / "debian12-6.1"
BOOT_ID = "01234567-89ab-cdef-0123-456789abcdef"


class MachineTree:
    """All files are changed in place and keep their size, as the agent keeps its descriptors."""

    def __init__(self, folder: Path, *, total: int = 1024 * MIB, available: int = 700 * MIB, free: int = 200 * MIB,
                 reclaim: bool = True, online: bool = False, hotplug: bool = True) -> None:
        self.path = folder / "root"
        shutil.copytree(FIXTURE, self.path, symlinks=True)
        random = self.path / "proc/sys/kernel/random"
        random.mkdir(parents=True)
        (self.path / "run").mkdir(exist_ok=True)
        (random / "boot_id").write_text(BOOT_ID + "\n", encoding="ascii")
        (self.path / "proc/self").mkdir(exist_ok=True)
        (self.path / "proc/self/oom_score_adj").write_text("0    \n", encoding="ascii")
        (self.path / "proc/self/mountinfo").write_text(
            "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", encoding="ascii")
        self.total, self.available, self.free = total, available, free
        self.file = 100 * MIB           # on the inactive list
        self.anon = 20 * MIB            # programs'
        self.stall_usec = 0
        self.reclaimed: list[int] = []  # what was asked of memory.reclaim
        self._gate = threading.Event()  # memory.reclaim goes on
        self._gate.set()
        self._reclaim_fd = -1
        self.write()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if reclaim:
            self._serve_reclaim()
        memory = self.path / "sys/devices/system/memory"
        if online:
            for block in memory.glob("memory*"):
                (block / "state").write_text("online\n", encoding="ascii")
                (block / "valid_zones").write_text("Movable\n", encoding="ascii")
        if not hotplug:
            shutil.rmtree(memory)

    def close(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def write(self) -> None:
        """Puts the figures into the files."""
        values = {"MemTotal": self.total, "MemFree": self.free, "MemAvailable": self.available,
                  "Inactive(file)": self.file, "Active(anon)": self.anon}
        lines = (FIXTURE / "proc/meminfo").read_text(encoding="ascii").splitlines()
        for index, line in enumerate(lines):
            name = line.split(":")[0]
            if name in values:
                lines[index] = f"{name + ':':<16}{values[name] // 1024:>8} kB"
        self._replace("proc/meminfo", "\n".join(lines) + "\n")
        psi = "".join(f"{kind} avg10=0.00 avg60=0.00 avg300=0.00 total={self.stall_usec:012}\n"
                      for kind in ("some", "full"))
        self._replace("proc/pressure/memory", psi)

    def plug(self, size: int) -> None:
        """Memory comes or goes, all of it free."""
        self.total += size
        self.available += size
        self.free += size
        self.write()

    def use(self, size: int) -> None:
        """The workload takes memory."""
        self.available -= size
        self.free -= min(size, self.free)
        self.anon += max(size, -self.anon)
        self.write()

    def isolate(self, size: int) -> None:
        """The kernel takes free memory off its lists for a moment, and nobody has it."""
        self.available -= size
        self.free -= size
        self.write()

    def _replace(self, name: str, text: str) -> None:
        """One write over what is there: a reader sees the old text or the new one, and never an empty file."""
        path = self.path / name
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.pwrite(fd, text.encode(), 0)
        os.ftruncate(fd, len(text))
        os.close(fd)

    def hold_reclaim(self) -> None:
        """Lets the agent's next write to memory.reclaim block, as the kernel's does while it works."""
        self._gate.clear()
        os.write(self._reclaim_fd, b" " * 4095)

    def release_reclaim(self, freed: int) -> None:
        self.free += freed
        self.write()
        self._gate.set()

    def _serve_reclaim(self) -> None:
        """memory.reclaim is a pipe of one page: the agent's writes are heard, and can be held up."""
        path = self.path / "sys/fs/cgroup/memory.reclaim"
        path.parent.mkdir(parents=True)
        os.mkfifo(path)
        fd = self._reclaim_fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 4096)

        def serve() -> None:
            while not self._stop.is_set():
                if not select.select([fd], [], [], 0.05)[0] or not self._gate.wait(0.05):
                    continue
                self.reclaimed += [int(number) for number in os.read(fd, 4096).split()]
            os.close(fd)

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()
