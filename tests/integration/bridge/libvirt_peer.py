# SPDX-License-Identifier: Apache-2.0
"""A libvirtd as the bridge's module shows it: fake-libvirt.c asks this socket, which may leave it waiting for ever."""
from __future__ import annotations

import socket
import subprocess
import threading
import time
from pathlib import Path

from world import Vm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
DOMAINS, POLICY, SIZE = 1, 2, 3  # LibvirtEventKind


def build_module(folder: Path) -> Path:
    module = folder / "fake-libvirt.so"
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Werror", "-shared", "-fPIC", "-pthread",
                    f"-I{ROOT}", "-o", module, HERE / "fake-libvirt.c"], check=True)
    return module


class LibvirtPeer:
    """Domains are Vms whose sockets are in no discovery folder. Attributes may be changed while it runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = f"fake:{path}"
        self.vms: dict[str, Vm] = {}  # by UUID
        self.policies: dict[str, str] = {}  # by name, as a file of vm.d
        self.hangs: set[str] = set()  # names
        self.commands: list[tuple[float, str, str, int]] = []  # time, verb, name, bytes
        self._events: list[socket.socket] = []
        self._stop = False
        self.listen()

    def listen(self) -> None:
        self._stop = False
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.path))
        self._server.listen(64)
        threading.Thread(target=self._serve, args=(self._server,), daemon=True).start()

    def close(self) -> None:
        """As if libvirtd ended."""
        self._stop = True
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.path.unlink(missing_ok=True)
        for client in self._events:
            client.close()
        self._events.clear()

    def add(self, vm: Vm, policy: str = "Max=device") -> Vm:
        self.policies[vm.name] = policy
        self.vms[f"{len(self.vms):08d}-0000-0000-0000-000000000000"] = vm
        self.say(DOMAINS)
        return vm

    def say(self, kind: int, uuid: str = "00000000-0000-0000-0000-000000000000") -> None:
        for client in self._events:
            client.sendall(f"{kind} {uuid}\n".encode())

    def of(self, name: str) -> list[tuple[str, int]]:
        return [(verb, size) for _, verb, vm, size in self.commands if vm == name]

    def _serve(self, server: socket.socket) -> None:
        while not self._stop:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        words = client.makefile().readline().split()
        if words and words[0] == "events":
            self._events.append(client)
            return
        with client:
            if words:
                try:
                    client.sendall((self._reply(*words) + "\n").encode())
                except OSError:
                    pass  # the bridge has gone

    def _reply(self, verb: str, uuid: str = "", size: str = "0") -> str:
        if verb == "list":
            return " ".join(["ok", *self.vms])
        vm = self.vms[uuid]
        if verb != "read":
            self.commands.append((time.monotonic(), verb, vm.name, int(size)))
        while vm.name in self.hangs and not self._stop:
            time.sleep(0.01)
        qmp = vm.qmp
        if verb == "read":
            policy = "[VM]|" + self.policies[vm.name].replace("\n", "|")
            return (f"ok {vm.name} {vm.agent.path} {int(qmp.running)} {qmp.boot} {qmp.actual} {qmp.vmem_max} "
                    f"{qmp.requested} {qmp.size} {policy}")
        try:
            if verb == "balloon":
                qmp.execute("balloon", {"value": int(size)})
            else:
                qmp.execute("qom-set", {"path": "/machine/peripheral/vmem0", "property": "requested-size",
                                        "value": int(size)})
        except ValueError as error:
            return f"error {error}"
        return "ok"
