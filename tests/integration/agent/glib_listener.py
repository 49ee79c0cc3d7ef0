# SPDX-License-Identifier: Apache-2.0
"""An application of GLib: prints each low-memory-warning of the system bus, and each signal of org.memtide.Agent1."""
from __future__ import annotations

import sys

from gi.repository import Gio, GLib

AGENT = "org.memtide.Agent1"


def say(*words: object) -> None:
    print(*words, flush=True)


def main() -> int:
    monitor = Gio.MemoryMonitor.dup_default()
    say("monitor", type(monitor).__name__)
    monitor.connect("low-memory-warning", lambda _, level: say("warning", int(level)))
    bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)
    bus.signal_subscribe(AGENT, AGENT, None, None, None, Gio.DBusSignalFlags.NONE,
                         lambda _c, _s, _p, _i, member, values: say(member, *values.unpack()))
    loop = GLib.MainLoop()
    GLib.timeout_add_seconds(int(sys.argv[1]), loop.quit)
    say("ready")
    loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
