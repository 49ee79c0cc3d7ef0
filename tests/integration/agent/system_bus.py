# SPDX-License-Identifier: Apache-2.0
"""A private dbus-daemon where the agent looks for the system bus, and an application of GLib on it."""
from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from tests.guest.wait import PATIENCE

HERE = Path(__file__).parent
POLICIES = HERE.parents[2] / "packaging"
# The rules of Debian's system.conf that matter here, and then the policy that memtide installs.
CONFIG = """<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
  </policy>
  {more}
</busconfig>
"""


class SystemBus:
    def __init__(self, root: Path, *, policy: str = "org.memtide.Agent1.conf") -> None:
        self.socket = root / "run/dbus/system_bus_socket"
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self.config = root / "bus.conf"
        more = f"<include>{POLICIES / policy}</include>" if policy else ""
        self.config.write_text(CONFIG.format(socket=self.socket, more=more), encoding="ascii")
        self.processes: list[subprocess.Popen[bytes]] = []
        self.daemon = self._spawn("dbus-daemon", f"--config-file={self.config}", "--nofork")
        end = time.monotonic() + PATIENCE * 5
        while not self.socket.exists():
            assert time.monotonic() < end, "no dbus-daemon"
            time.sleep(0.02)

    def __enter__(self) -> SystemBus:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(timeout=10)
            if process.stdout:
                process.stdout.close()

    def environment(self) -> dict[str, str]:
        return {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.socket}", "PYTHONUNBUFFERED": "1"}

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, env=self.environment() if self.processes else None,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def application(self, seconds: int = 30) -> Application:
        """Ready to hear."""
        application = Application(self._spawn(sys.executable, str(HERE / "glib_listener.py"), str(seconds)))
        application.wait("ready")
        return application

    def own(self, name: str) -> None:
        """Another program has this name from now on."""
        code = ("from gi.repository import Gio, GLib; b = Gio.bus_get_sync(Gio.BusType.SYSTEM);"
                f"Gio.bus_own_name_on_connection(b, '{name}', Gio.BusNameOwnerFlags.REPLACE,"
                " lambda *_: print('owned', flush=True), None); GLib.MainLoop().run()")
        Application(self._spawn(sys.executable, "-c", code)).wait("owned")


class Application:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.text = ""
        self.lines: list[str] = []
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)

    def heard(self) -> list[str]:
        assert self.process.stdout
        self.text += (self.process.stdout.read() or b"").decode()
        self.lines = self.text.splitlines()
        return self.lines

    def wait(self, line: str, seconds: float = 8) -> None:
        end = time.monotonic() + PATIENCE * seconds
        while line not in self.heard():
            assert time.monotonic() < end, f"{line!r} was not heard, but {self.lines}"
            time.sleep(0.02)
