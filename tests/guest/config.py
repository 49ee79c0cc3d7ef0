# SPDX-License-Identifier: Apache-2.0
"""What one guest is made of, and the QEMU command line that makes it."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.guest.accel import QEMU, Accelerator
from tests.guest.kernel import Kernel

MIB = 1 << 20
GIB = 1 << 30
PORT = "org.memtide.agent.0"


@dataclass(frozen=True)
class GuestConfig:
    """Defaults are the demo's guest: 512 MiB that can grow by virtio-mem, and a balloon."""

    name: str
    memory_mib: int = 512
    virtio_mem_bytes: int = 4 * GIB         # the device's maximum; 0 = no such device
    dimm_slots: int = 0
    balloon: bool = True
    deflate_on_oom: bool = True
    free_page_reporting: bool = True
    cpus: int = 1
    agent: bool = True
    port: bool = True                       # memtide's, for the agent; else it can be plugged later: guest.plug_port()
    agent_args: tuple[str, ...] = ()        # instead of init.sh's own; no spaces or commas in them
    auto_online: str | None = None          # memhp_default_state=; None = as the kernel was built
    zram: str = ""                          # size of swap in zram, such as "256M"
    reboots: bool = False                   # comes up again after a reset; else QEMU ends
    disk_bytes: int = 0                     # /dev/vda of zeroes, read at 300 MiB/s at most; 0 = no disk
    root: Path | None = None                # a disk to boot from, with an initramfs of build_pivot(); it is not changed
    cgroup: str = "v2"                      # what is mounted at /sys/fs/cgroup: v2, v1 or none
    incoming: bool = False                  # waits to be migrated to, instead of booting
    snapshots: bool = False                 # has a place where savevm can put the machine's state
    sample_ms: int = 100
    cmdline: tuple[str, ...] = ()


@dataclass(frozen=True)
class GuestPaths:
    """The files of one running guest. `channel` and `bridge_qmp` are what a bridge discovers."""

    folder: Path
    channel: Path
    bridge_qmp: Path

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    @property
    def agent_log(self) -> Path:
        return self.folder / "agent.log"

    @property
    def samples(self) -> Path:
        return self.folder / "samples.log"

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"

    @property
    def state(self) -> Path:
        return self.folder / "state.qcow2"

    @property
    def qemu_log(self) -> Path:
        return self.folder / "qemu.log"

    @property
    def control(self) -> Path:
        return self.folder / "control.sock"

    @property
    def qmp(self) -> Path:
        return self.folder / "qmp.sock"

    @property
    def sockets(self) -> tuple[Path, ...]:
        return self.channel, self.bridge_qmp, self.control, self.qmp


def qemu_command(config: GuestConfig, paths: GuestPaths, kernel: Kernel, initramfs: Path,
                 accelerator: Accelerator) -> list[str]:
    maximum = config.memory_mib * MIB + config.virtio_mem_bytes + config.dimm_slots * GIB
    slots = f",slots={config.dimm_slots}" if config.dimm_slots else ""
    hotplug = f",maxmem={maximum}{slots}" if maximum > config.memory_mib * MIB else ""
    return [QEMU, "-name", config.name, "-machine", f"q35,accel={accelerator.name}", "-cpu", accelerator.cpu,
            "-smp", str(config.cpus), "-m", f"{config.memory_mib}M{hotplug}",
            "-nodefaults", "-no-user-config", "-display", "none", *([] if config.reboots else ["-no-reboot"]),
            "-kernel", str(kernel.image), "-initrd", str(initramfs), "-append", _cmdline(config),
            "-serial", f"file:{paths.console}",
            "-qmp", f"unix:{paths.bridge_qmp},server=on,wait=off",
            "-qmp", f"unix:{paths.qmp},server=on,wait=off",
            *_memory_devices(config), *_disk(config, paths), *_ports(config, paths),
            *_state(config, paths)]


def _memory_devices(config: GuestConfig) -> list[str]:
    """Each device has an id: without one its QOM path is not stable and VM events lack its name."""
    words = []
    if config.virtio_mem_bytes:
        words += ["-object", f"memory-backend-ram,id=vmem0-backend,size={config.virtio_mem_bytes},reserve=off",
                  "-device", "virtio-mem-pci,id=vmem0,memdev=vmem0-backend,requested-size=0"]
    if config.balloon:
        words += ["-device", f"virtio-balloon-pci,id=balloon0,deflate-on-oom={_on(config.deflate_on_oom)},"
                             f"free-page-reporting={_on(config.free_page_reporting)}"]
    return words


def _disk(config: GuestConfig, paths: GuestPaths) -> list[str]:
    words = []
    if config.root:
        words += ["-drive", f"file={config.root},format=raw,if=none,id=root0,snapshot=on,cache=unsafe",
                  "-device", "virtio-blk-pci,id=vdroot0,drive=root0"]
    if config.disk_bytes:
        words += ["-drive", f"file={paths.disk},format=raw,if=none,id=disk0,throttling.bps-read={300 * MIB}",
                  "-device", "virtio-blk-pci,id=vda0,drive=disk0"]
    return words


def _state(config: GuestConfig, paths: GuestPaths) -> list[str]:
    """Where a machine's state comes from or goes to: no device of the guest's is in it."""
    words = ["-incoming", "defer"] if config.incoming else []
    if config.snapshots:
        words += ["-blockdev", f"qcow2,node-name=state,file.driver=file,file.filename={paths.state}"]
    return words


def port_device(name: str) -> dict[str, str]:
    """The device of a virtio-serial port, as QMP takes it."""
    ident = name.replace(".", "-")
    return {"driver": "virtserialport", "chardev": ident, "id": f"port-{ident}", "name": name}


def _ports(config: GuestConfig, paths: GuestPaths) -> list[str]:
    """memtide's port as an operator would make it; beside it the harness's own three."""
    def port(name: str, backend: str, plugged: bool = True) -> list[str]:
        device = port_device(name)
        kind, _, rest = backend.partition(",")
        words = [device.pop("driver"), *(f"{key}={value}" for key, value in device.items())]
        return ["-chardev", f"{kind},id={device['chardev']},{rest}", *(["-device", ",".join(words)] if plugged else [])]
    return ["-device", "virtio-serial-pci,id=serial0",
            *port(PORT, f"socket,path={paths.channel},server=on,wait=off", config.port),
            *port("memtide.test.control", f"socket,path={paths.control},server=on,wait=off"),
            *port("memtide.test.samples", f"file,path={paths.samples}"),
            *port("memtide.test.log", f"file,path={paths.agent_log}")]


def _cmdline(config: GuestConfig) -> str:
    words = ["console=ttyS0", "panic=-1", "loglevel=5", f"memtide.agent={int(config.agent)}",
             f"memtide.sample_ms={config.sample_ms}"]
    if config.agent_args:
        words.append(f"memtide.agent_args={','.join(config.agent_args)}")
    if config.cgroup != "v2":
        words.append(f"memtide.cgroup={config.cgroup}")
    if config.auto_online:
        words.append(f"memhp_default_state={config.auto_online}")
    if config.zram:
        words.append(f"memtide.zram={config.zram}")
    return " ".join([*words, *config.cmdline])


def _on(value: bool) -> str:
    return "on" if value else "off"
