# SPDX-License-Identifier: Apache-2.0
"""One running QEMU guest: its life, its control channel, and what QEMU says about its memory."""
from __future__ import annotations

import contextlib
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.guest import process
from tests.guest.accel import Accelerator
from tests.guest.config import GIB, MIB, PORT, GuestConfig, GuestPaths, port_device, qemu_command
from tests.guest.control import Control
from tests.guest.kernel import Kernel
from tests.guest.qmp import QmpClient
from tests.guest.samples import Sample, SampleReader
from tests.guest.wait import wait_for


@dataclass(frozen=True)
class Machine:
    """What all guests of a run share."""

    kernel: Kernel
    initramfs: Path
    accelerator: Accelerator


class GuestError(Exception):
    """The guest did not come up, or is gone; the text ends with its last console lines."""


class Guest:
    """Use as a context manager. `discovery` is the bridge's folder (DIR/vms); without one, the sockets that
    a bridge would use stay in the guest's own folder, for a test that plays the bridge itself."""

    def __init__(self, config: GuestConfig, machine: Machine, folder: Path, discovery: Path | None = None) -> None:
        self.config = config
        self.machine = machine
        place = folder / config.name
        place.mkdir(parents=True, exist_ok=True)
        self.paths = GuestPaths(folder=place, channel=(discovery or place) / f"{config.name}.channel",
                                bridge_qmp=(discovery or place) / f"{config.name}.qmp")
        self.samples = SampleReader(self.paths.samples)
        self.boot_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._qmp: QmpClient | None = None
        self._control: Control | None = None
        self._started = 0.0

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> Guest:
        """Start QEMU; does not wait. Call from the main thread (see process.py)."""
        if self.config.disk_bytes:
            with open(self.paths.disk, "wb") as disk:
                disk.truncate(self.config.disk_bytes)
        if self.config.snapshots:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.paths.state, "8G"], check=True)
        command = qemu_command(self.config, self.paths, self.machine.kernel, self.machine.initramfs,
                               self.machine.accelerator)
        self._started = time.monotonic()
        self._process = process.start(command, self.paths.qemu_log)
        self._qmp = QmpClient(self.paths.qmp)
        self._control = Control(self.paths.control)
        return self

    def wait_up(self, timeout: float = 60.0) -> Guest:
        """Until init obeys. Sets boot_s, from QEMU's start to the first answer."""
        deadline = time.monotonic() + timeout
        while "memtide-test: up" not in self.console():
            if not self.running:
                raise GuestError(f"{self.config.name}: QEMU ended during boot\n{self._last_words()}")
            if time.monotonic() > deadline:
                raise GuestError(f"{self.config.name}: not up in {timeout:.0f} s\n{self._last_words()}")
            time.sleep(0.02)
        if "memtide-test: no swap" in self.console():
            raise GuestError(f"{self.config.name}: it has no swap\n{self._last_words()}")
        self.check("true", timeout=max(deadline - time.monotonic(), 1.0))
        self.boot_s = time.monotonic() - self._started
        return self

    def stop(self) -> None:
        """Kill QEMU (its guest has no disk to be spared) and remove its sockets; the logs stay."""
        for client in (self._control, self._qmp):
            if client:
                client.close()
        if self._process:
            process.stop(self._process)
        for path in self.paths.sockets:
            path.unlink(missing_ok=True)

    def __enter__(self) -> Guest:
        try:
            return self.start().wait_up()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    # -- inside ----------------------------------------------------------------------------------

    @property
    def control(self) -> Control:
        assert self._control, "not started"
        return self._control

    def run(self, command: str, timeout: float = 15.0) -> tuple[int, str]:
        return self.control.run(command, timeout)

    def check(self, command: str, timeout: float = 15.0) -> str:
        return self.control.check(command, timeout)

    def start_load(self, total_bytes: int, rate_mib_s: int, hold_s: int = 0) -> None:
        """Anonymous memory, touched at a rate, then held (0 = until free_load()).

        Returns when the sampler knows of it, so that no older sample is taken for the load's end.
        """
        before = self.monotonic()
        self.check(f"start_load {total_bytes} {rate_mib_s} {hold_s}")
        wait_for("the sampler sees the load", lambda: self.sample().t_usec > before * 1e6 + 20_000
                 and self.sample().phase in ("ramp", "hold"), 5, interval=0.02)

    def free_load(self) -> None:
        self.check("load free")

    def load_phase(self) -> str:
        """idle, ramp, hold, free (ended well), killed (by the OOM killer) or failed."""
        return self.check("load status").split()[0]

    def monotonic(self) -> float:
        """The guest's clock now, in seconds (to 10 ms), for lining up its samples with the host's clock."""
        return float(self.check("cut -d ' ' -f 1 /proc/uptime"))

    def sample(self) -> Sample:
        """The newest sample."""
        sample = self.samples.last
        if sample is None:
            raise GuestError(f"{self.config.name}: the sampler has not written yet")
        return sample

    def console(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self.paths.console.read_text(encoding="utf-8", errors="replace")
        return ""

    def _last_words(self) -> str:
        words = self.console().splitlines()[-15:]
        with contextlib.suppress(FileNotFoundError):
            words += self.paths.qemu_log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        return "\n".join(words)

    # -- what QEMU says --------------------------------------------------------------------------

    @property
    def qmp(self) -> QmpClient:
        assert self._qmp, "not started"
        return self._qmp

    def virtio_mem_bytes(self) -> int:
        """Bytes that the device has plugged: `size`, not what was requested."""
        return sum(int(device["data"]["size"]) for device in self.qmp.command("query-memory-devices")
                   if device["type"] == "virtio-mem")

    def dimm_bytes(self) -> int:
        return sum(int(device["data"]["size"]) for device in self.qmp.command("query-memory-devices")
                   if device["type"] == "dimm")

    def balloon_bytes(self) -> int:
        """Bytes that the balloon holds; `actual` counts boot memory and DIMMs, and not virtio-mem."""
        if not self.config.balloon:
            return 0
        base = self.config.memory_mib * MIB + self.dimm_bytes()
        return base - int(self.qmp.command("query-balloon")["actual"])

    def size_bytes(self) -> int:
        """What the guest has by QEMU's word: boot memory + DIMMs + virtio-mem - balloon."""
        return (self.config.memory_mib * MIB + self.dimm_bytes() + self.virtio_mem_bytes()
                - self.balloon_bytes())

    def request_virtio_mem(self, size_bytes: int) -> None:
        self.qmp.command("qom-set", path="/machine/peripheral/vmem0", property="requested-size", value=size_bytes)

    def set_balloon(self, held_bytes: int) -> None:
        """Ask the guest to leave `held_bytes` to the balloon."""
        self.qmp.command("balloon", value=self.config.memory_mib * MIB + self.dimm_bytes() - held_bytes)

    def plug_port(self) -> None:
        """memtide's port, where the guest was started without it or it was unplugged."""
        self.qmp.command("device_add", **port_device(PORT))

    def unplug_port(self) -> None:
        self.qmp.command("device_del", id=port_device(PORT)["id"])

    def resident_bytes(self) -> int:
        """Resident memory of the QEMU process."""
        return process.resident_bytes(self.pid)


__all__ = ["GIB", "MIB", "Guest", "GuestConfig", "GuestError", "Machine"]
