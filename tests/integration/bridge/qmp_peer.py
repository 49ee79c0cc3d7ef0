# SPDX-License-Identifier: Apache-2.0
"""A QEMU as its monitor shows it, scripted: boot RAM, one virtio-mem, a balloon, DIMMs, and every way to misbehave."""
from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qmp_dimms import Dimms, Refused

MIB = 1 << 20
BLOCK = 2 * MIB

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""},
                    "capabilities": ["oob"]}}


class QmpPeer:
    """Serves one client at a time on its own thread, as QEMU does. Attributes may be changed while it runs."""

    def __init__(self, path: Path, boot: int = 512 * MIB, vmem: int = 2048 * MIB, balloon: bool = True,
                 dimms: Dimms | None = None) -> None:
        self.path = path
        self.boot = boot
        self.vmem_max = vmem
        self.requested = self.size = 0
        self.has_balloon = balloon
        self.dimms = dimms or Dimms()
        self.ejects = "at once"  # or "never", or "refuses"
        self.inflated = self.inflate_to = 0
        self.devices: list[dict[str, str]] = []  # of /machine/peripheral
        self.prealloc = False
        self.running = True
        self.obeys = True  # the guest's drivers do what is asked
        self.work_s = 0.02  # and need so long for it
        self.greets = True
        self.answers = True
        self.delay_s = 0.0
        self.reject: set[str] = set()  # commands to be refused
        self.override: dict[str, bytes] = {}  # command -> raw bytes in place of its reply
        self.commands: list[tuple[float, str, dict[str, Any]]] = []  # with their time, queries aside
        self.connections = 0
        self.on_change: Callable[[], None] = lambda: None
        self._client: socket.socket | None = None
        self._lock = threading.Lock()
        self._stop = False
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(8)
        self._server.settimeout(0.05)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    # -- what a test does ------------------------------------------------------------------------

    def close(self) -> None:
        """As if QEMU ended; the socket's file goes too."""
        self._stop = True
        self.disconnect()
        self._thread.join()
        self._server.close()
        self.path.unlink(missing_ok=True)

    def disconnect(self) -> None:
        if client := self._client:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def event(self, name: str, **data: Any) -> None:
        self.send_raw(json.dumps({"event": name, "data": data,
                                  "timestamp": {"seconds": 1, "microseconds": 0}}).encode() + b"\r\n")

    def send_raw(self, data: bytes) -> None:
        with self._lock:
            if self._client:
                try:
                    self._client.sendall(data)
                except OSError:
                    pass

    def of(self, command: str) -> list[dict[str, Any]]:
        """The arguments of every such command so far."""
        return [arguments for _, name, arguments in self.commands if name == command]

    @property
    def actual(self) -> int:
        """The balloon's logical size, which moves with the DIMMs."""
        return self.boot + self.dimms.bytes - self.inflated

    @actual.setter
    def actual(self, value: int) -> None:
        self.inflated = self.boot + self.dimms.bytes - value

    @property
    def target(self) -> int:
        return self.boot + self.dimms.bytes - self.inflate_to

    @target.setter
    def target(self, value: int) -> None:
        self.inflate_to = self.boot + self.dimms.bytes - value

    @property
    def balloon_bytes(self) -> int:
        return self.inflated

    # -- the monitor -----------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._stop:
            try:
                client, _ = self._server.accept()
            except TimeoutError:
                continue
            self.connections += 1
            self._client = client
            try:
                self._talk(client)
            except OSError:
                pass
            with self._lock:
                self._client = None
            client.close()

    def _talk(self, client: socket.socket) -> None:
        client.settimeout(0.05)
        if self.greets:
            self.send_raw(json.dumps(GREETING).encode() + b"\r\n")
        buffer = b""
        while not self._stop:
            try:
                data = client.recv(65536)
            except TimeoutError:
                continue
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                self._command(json.loads(line))

    def _command(self, request: dict[str, Any]) -> None:
        name, arguments = request["execute"], request.get("arguments", {})
        if not name.startswith("query-") and name not in ("qmp_capabilities", "qom-get", "qom-list"):
            self.commands.append((time.monotonic(), name, arguments))
        if not self.answers:
            return
        if self.delay_s:
            time.sleep(self.delay_s)
        if name in self.override:
            self.send_raw(self.override[name])
            return
        reply: dict[str, Any] = {"id": request["id"]}
        try:
            reply["return"] = self.execute(name, arguments)
        except Refused as error:
            reply["error"] = {"class": error.kind, "desc": str(error)}
        except ValueError as error:
            reply["error"] = {"class": "GenericError", "desc": str(error)}
        self.send_raw(json.dumps(reply).encode() + b"\r\n")

    def execute(self, name: str, arguments: dict[str, Any]) -> Any:
        if name in self.reject:
            raise ValueError("refused by the test")
        if name == "query-status":
            return {"status": "running" if self.running else "paused", "singlestep": False, "running": self.running}
        if name == "query-memory-size-summary":
            return {"base-memory": self.boot, "plugged-memory": self.size + self.dimms.bytes}
        if name == "qom-get":
            assert arguments == {"path": "/machine", "property": "memory"}
            return {"size": self.boot, "max-size": self.boot + self.vmem_max + self.dimms.room,
                    "slots": self.dimms.slots}
        if name == "query-version":
            return dict(GREETING["QMP"]["version"])
        if name == "qom-list":
            return self.devices if arguments["path"] == "/machine/peripheral" else []
        if name == "query-memdev":
            return [*self.dimms.execute(name, arguments),
                    *([{"id": "m", "size": self.vmem_max or self.boot, "prealloc": self.prealloc}]
                      if self.vmem_max or self.prealloc else [])]
        if name == "query-memory-devices":
            return [*([self._device()] if self.vmem_max else []), *self.dimms.devices()]
        if name == "query-balloon":
            if not self.has_balloon:
                raise Refused("No balloon device has been activated", "DeviceNotActive")
            return {"actual": self.actual}
        if name == "qom-set":
            self._request(arguments)
        elif name == "balloon":
            self._balloon(arguments["value"])
        elif name in ("object-add", "object-del", "device_add", "device_del"):
            result = self.dimms.execute(name, arguments)
            if name == "device_add":
                threading.Timer(self.work_s, self.on_change).start()
            if name == "device_del":
                threading.Timer(self.work_s, self.settle_dimms).start()
            return result
        return {}

    def _device(self) -> dict[str, Any]:
        return {"type": "virtio-mem",
                "data": {"id": "vmem0", "memdev": "/objects/m", "memaddr": 4 << 30, "node": 0, "block-size": BLOCK,
                         "size": self.size, "requested-size": self.requested, "max-size": self.vmem_max}}

    def _request(self, arguments: dict[str, Any]) -> None:
        assert arguments["path"] == "/machine/peripheral/vmem0" and arguments["property"] == "requested-size"
        if arguments["value"] % BLOCK or not 0 <= arguments["value"] <= self.vmem_max:
            raise ValueError("'requested-size' is not allowed")
        self.requested = arguments["value"]
        if self.obeys:
            threading.Timer(self.work_s, self.settle).start()

    def _balloon(self, value: int) -> None:
        if value <= 0:
            raise ValueError("Parameter 'target' expects a size")
        self.target = min(value, self.boot + self.dimms.bytes)
        if self.obeys:
            threading.Timer(self.work_s, self.settle).start()

    def settle_dimms(self) -> None:
        """The guest has ejected what was asked for, or refuses to."""
        for ident in sorted(self.dimms.leaving):
            slot = str(self.dimms.plugged[ident].slot)
            info = {"device": ident, "slot": slot, "slot-type": "DIMM", "source": 3}
            self.event("ACPI_DEVICE_OST", info={**info, "status": 132})
            if self.ejects == "at once":
                self.dimms.eject(ident)
                self.event("DEVICE_DELETED", device=ident, path=f"/machine/peripheral/{ident}")
            elif self.ejects == "refuses":
                self.dimms.leaving.discard(ident)
                self.event("ACPI_DEVICE_OST", info={**info, "status": 130})

    def settle(self) -> None:
        """What was asked for has happened."""
        if self.size != self.requested:
            self.size = self.requested
            self.event("MEMORY_DEVICE_SIZE_CHANGE", **{"id": "vmem0", "size": self.size, "qom-path": "/x"})
        if self.actual != self.target:
            self.actual = self.target
            self.event("BALLOON_CHANGE", actual=self.actual)
        self.on_change()
