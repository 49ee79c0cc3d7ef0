# SPDX-License-Identifier: Apache-2.0
"""A libvirtd of our own, in a folder of its own, and guests that are domains of it.

It runs without privileges, as user "nobody" where we are root: only then are all its folders ours to choose (XDG_*),
and the host's own libvirt, if there is one, is never touched. It needs no virtlogd and no systemd.
"""
from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from xml.sax.saxutils import quoteattr

from tests.guest import process
from tests.guest.accel import QEMU
from tests.guest.config import GIB, MIB, PORT, GuestConfig, qemu_command
from tests.guest.control import Control
from tests.guest.guest import Guest, Machine
from tests.guest.qmp import QmpClient
from tests.guest.wait import wait_for

NAMESPACE = "https://memtide.org/xmlns/policy/1"
FOLDERS = {"HOME": "home", "XDG_RUNTIME_DIR": "run", "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache",
           "XDG_DATA_HOME": "data"}


def missing() -> str | None:
    """Why there can be no libvirtd here, or None."""
    return next((f"no {name}" for name in ("libvirtd", "virsh") if not _program(name)), None)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class Libvirtd:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "lv"
        self.log = folder / "libvirtd.log"
        self.socket = self.folder / "run/libvirt/libvirt-sock"
        self.uri = f"qemu+unix:///session?socket={self.socket}"
        self._process: subprocess.Popen[bytes] | None = None
        for name in FOLDERS.values():
            (self.folder / name).mkdir(parents=True)
        config = self.folder / "config/libvirt"
        config.mkdir()
        (config / "qemu.conf").write_text('stdio_handler = "file"\n')
        folder.chmod(0o711)
        self.give(self.folder)

    def give(self, path: Path) -> None:
        """To the user that libvirtd runs as, with all below it."""
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for each in (path, *path.rglob("*")):
                os.chown(each, nobody.pw_uid, nobody.pw_gid)

    def start(self) -> Libvirtd:
        program = _program("libvirtd")
        assert program
        as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=KILL"]
        env = {**os.environ, **{key: str(self.folder / name) for key, name in FOLDERS.items()}}
        self._process = process.start([*(as_user if os.geteuid() == 0 else []), program], self.log, env)
        wait_for("libvirtd answers", self._answers, 30)
        return self

    def _answers(self) -> bool:
        return subprocess.run(self._virsh("list"), capture_output=True, check=False, timeout=20).returncode == 0

    def stop(self) -> None:
        if self._process:
            process.stop(self._process, grace_s=5)

    def kill(self) -> None:
        """Without a chance to clean up; its domains run on."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        process.stop(self._process)

    def _virsh(self, *words: str) -> list[str]:
        return ["virsh", "-q", "-c", self.uri, *words]

    def virsh(self, *words: str) -> str:
        done = subprocess.run(self._virsh(*words), capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"virsh {' '.join(words)}: {done.stderr}"
        return done.stdout

    def pid_of(self, name: str) -> int:
        """The process of a domain; 0 when it does not run."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int((self.folder / f"run/libvirt/qemu/run/{name}.pid").read_text())
            if str(self.folder) in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        return 0


class LibvirtGuest(Guest):
    """A guest that libvirt starts: boot memory, virtio-mem and a balloon if it has them, the port, and no socket of a
    bridge."""

    def __init__(self, config: GuestConfig, machine: Machine, libvirtd: Libvirtd, policy: dict[str, str]) -> None:
        super().__init__(config, machine, libvirtd.folder)
        self.libvirtd = libvirtd
        self.policy = policy

    def start(self) -> LibvirtGuest:
        place = self.paths.folder
        shutil.copy(self.machine.kernel.image, place / "kernel")  # "nobody" can not read our cache
        shutil.copy(self.machine.initramfs, place / "initramfs")
        (place / "domain.xml").write_text(self.xml(), encoding="utf-8")
        self.libvirtd.give(place)
        self._started = time.monotonic()
        self.libvirtd.virsh("create", str(place / "domain.xml"))
        self._qmp = QmpClient(self.paths.qmp)
        self._control = Control(self.paths.control)
        return self

    def stop(self) -> None:
        """Kill QEMU, whether libvirtd is there or not."""
        if pid := self.libvirtd.pid_of(self.config.name):
            os.kill(pid, signal.SIGKILL)
        super().stop()

    @property
    def pid(self) -> int:
        return self.libvirtd.pid_of(self.config.name)

    @property
    def running(self) -> bool:
        return self.pid != 0

    def _kernel_command_line(self) -> str:
        command = qemu_command(self.config, self.paths, self.machine.kernel, self.machine.initramfs,
                               self.machine.accelerator)
        return command[command.index("-append") + 1]

    def xml(self) -> str:
        config, paths = self.config, self.paths
        policy = " ".join(f"{key}={quoteattr(value)}" for key, value in self.policy.items())
        cpu = ("mode='maximum'>" if self.machine.accelerator.cpu != "qemu64,-cx16" else
               "mode='custom'><model>qemu64</model><feature policy='disable' name='cx16'/>")
        ports = "".join(f"<channel type='{kind}'>{source}<target type='virtio' name='{name}'/></channel>"
                        for kind, source, name in (
                            ("unix", "", PORT),
                            ("unix", f"<source mode='bind' path='{paths.control}'/>", "memtide.test.control"),
                            ("file", f"<source path='{paths.samples}'/>", "memtide.test.samples"),
                            ("file", f"<source path='{paths.agent_log}'/>", "memtide.test.log")))
        total = config.memory_mib + config.virtio_mem_bytes // MIB
        virtio_mem = f"""<memory model='virtio-mem'><target><size unit='MiB'>{config.virtio_mem_bytes // MIB}</size>
      <node>0</node><block unit='MiB'>2</block><requested unit='MiB'>0</requested></target></memory>"""
        balloon = "model='virtio' autodeflate='on' freePageReporting='on'" if config.balloon else "model='none'"
        return f"""<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{config.name}</name>
  <metadata><memtide:policy xmlns:memtide='{NAMESPACE}' {policy}/></metadata>
  <maxMemory slots='4' unit='MiB'>{total + 4 * GIB // MIB}</maxMemory>
  <memory unit='MiB'>{total}</memory>
  <currentMemory unit='MiB'>{config.memory_mib}</currentMemory>
  <vcpu>{config.cpus}</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{paths.folder}/kernel</kernel>
    <initrd>{paths.folder}/initramfs</initrd><cmdline>{self._kernel_command_line()}</cmdline></os>
  <features><acpi/></features>
  <cpu {cpu}<numa><cell id='0' cpus='0-{config.cpus - 1}' memory='{config.memory_mib}' unit='MiB'/></numa></cpu>
  <devices>
    <emulator>{QEMU if os.path.isabs(QEMU) else shutil.which(QEMU)}</emulator>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='{paths.console}'/></serial>
    {ports}
    {virtio_mem if config.virtio_mem_bytes else ""}
    <memballoon {balloon}/>
  </devices>
  <qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:{paths.qmp},server=on,wait=off'/></qemu:commandline>
</domain>
"""
