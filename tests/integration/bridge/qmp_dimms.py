# SPDX-License-Identifier: Apache-2.0
"""DIMMs of a scripted QEMU: its answers word for word (test_peer_is_qemu.py holds them against the real one)."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MIB = 1 << 20
FIRST_ADDRESS = 4 << 30


class Refused(Exception):
    """An error of QMP: its class and its description."""

    def __init__(self, desc: str, kind: str = "GenericError") -> None:
        super().__init__(desc)
        self.kind = kind


@dataclass
class Dimm:
    size: int
    address: int
    slot: int
    backend: str


@dataclass
class Dimms:
    """What slots= and maxmem= leave, and who is in it."""

    slots: int = 0
    room: int = 0
    in_use: int = 0  # of the room, by others
    backends: dict[str, dict[str, Any]] = field(default_factory=dict)
    plugged: dict[str, Dimm] = field(default_factory=dict)
    leaving: set[str] = field(default_factory=set)

    @property
    def bytes(self) -> int:
        return sum(dimm.size for dimm in self.plugged.values())

    def execute(self, name: str, arguments: dict[str, Any]) -> Any:
        """Raises KeyError for a command that is none of these."""
        return {"object-add": self._object_add, "object-del": self._object_del, "device_add": self._device_add,
                "device_del": self._device_del, "query-memdev": self._query}[name](arguments)

    def devices(self) -> list[dict[str, Any]]:
        return [{"type": "dimm", "data": {"id": ident, "addr": dimm.address, "size": dimm.size, "slot": dimm.slot,
                                          "node": 0, "memdev": f"/objects/{dimm.backend}", "hotplugged": True,
                                          "hotpluggable": True}} for ident, dimm in self.plugged.items()]

    def eject(self, ident: str) -> None:
        """The guest lets go."""
        self.leaving.discard(ident)
        del self.plugged[ident]

    def _object_add(self, arguments: dict[str, Any]) -> Any:
        ident = arguments["id"]
        if ident in self.backends:
            raise Refused(f"attempt to add duplicate property '{ident}' to object (type 'container')")
        self.backends[ident] = {"id": ident, "size": arguments["size"], "share": arguments.get("share", False)}
        return {}

    def _object_del(self, arguments: dict[str, Any]) -> Any:
        ident = arguments["id"]
        if ident not in self.backends:
            raise Refused(f"object '{ident}' not found")
        if any(dimm.backend == ident for dimm in self.plugged.values()):
            raise Refused(f"object '{ident}' is in use, can not be deleted")
        del self.backends[ident]
        return {}

    def _device_add(self, arguments: dict[str, Any]) -> Any:
        ident, backend = arguments["id"], arguments["memdev"]
        assert arguments["driver"] == "pc-dimm"
        if ident in self.plugged:
            raise Refused(f"Duplicate device ID '{ident}'")
        if backend not in self.backends:
            raise Refused(f"Device '{backend}' not found", "DeviceNotFound")
        if any(dimm.backend == backend for dimm in self.plugged.values()):
            raise Refused(f"can't use already busy memdev: {backend}")
        taken = {dimm.slot for dimm in self.plugged.values()}
        if len(taken) >= self.slots:
            raise Refused("no free slots available")
        size = self.backends[backend]["size"]
        used = self.bytes + self.in_use
        if used + size > self.room:
            raise Refused(f"not enough space, currently 0x{used:x} in use of total space for memory devices "
                          f"0x{self.room:x}")
        slot = min(set(range(self.slots)) - taken)
        self.plugged[ident] = Dimm(size, FIRST_ADDRESS + used, slot, backend)
        return {}

    def _device_del(self, arguments: dict[str, Any]) -> Any:
        if arguments["id"] not in self.plugged:
            raise Refused(f"Device '{arguments['id']}' not found", "DeviceNotFound")
        self.leaving.add(arguments["id"])  # asked again while it leaves: accepted again
        return {}

    def _query(self, arguments: dict[str, Any]) -> Any:
        return [*reversed(self.backends.values())]
