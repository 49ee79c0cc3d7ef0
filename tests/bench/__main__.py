# SPDX-License-Identifier: Apache-2.0
"""The command behind tests/bench/run: chooses, measures, prints a line per figure, keeps them as JSON."""
from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType

from tests.bench.result import HEAD, Result
from tests.bench.settings import ROOT, CannotMeasure, Settings
from tests.guest import process

# What each measures, for --list; the module has the name with an underscore.
BENCHMARKS = {
    "p1-rss": "resident memory against qemu-ga and earlyoom",
    "p2-cpu": "CPU per sample against earlyoom and a bare pread loop",
    "p3-alloc": "allocations, major faults, mappings and growth while sampling",
    "p4-wire": "bytes of a full report against QEMU's guest-stats JSON (a guest)",
    "p5-codec": "encode and checked decode against JSON and stock protobuf-c",
    "p6-latency": "start of a ramp to the command at the monitor, against two other ways (a guest)",
    "p7-online": "32 and 128 blocks against kernel auto-online and a udev rule (a guest)",
    "p8-virtio-mem": "4 GiB of virtio-mem with auto-online off (a guest)",
    "p9-scale": "10,000 VMs on one core against a bare epoll loop (a farm of fake VMs)",
    "p10-qmp": "alarm to command against QEMU's round trip, and beside monitors that hang (a farm)",
    "r3-isolation": "alarm to command of 999 VMs beside one that floods, and beside 100 (a farm)",
    "r4-slow-peers": "alarm to command beside 500 slowloris and 50 dead monitors (a farm)",
}
ROUNDS, SAMPLES = 12, 1_000_000
ROUNDS_QUICK, SAMPLES_QUICK = 4, 20_000


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (default: all; see --list)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep the figures in FILE")
    parser.add_argument("--list", action="store_true", help="print the names and what each measures")
    parser.add_argument("--peers", action="store_true", help="print the packages that the chosen ones need")
    parser.add_argument("--rounds", type=int, help=f"rounds of ours and each peer (default {ROUNDS})")
    parser.add_argument("--samples", type=int, help=f"samples of p3-alloc (default {SAMPLES})")
    parser.add_argument("--quick", action="store_true",
                        help=f"{ROUNDS_QUICK} rounds and {SAMPLES_QUICK} samples: a look, not a figure to quote")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is not surely kept")
    parser.add_argument("--no-install", action="store_true", help="install nothing")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    for value in (options.rounds, options.samples):
        if value is not None and value < 1:
            parser.error("rounds and samples are at least 1")
    return options


def module_of(name: str) -> ModuleType:
    return importlib.import_module("tests.bench." + name.replace("-", "_"))


def settings_of(options: argparse.Namespace) -> Settings:
    return Settings(build=Path(os.environ.get("MEMTIDE_BUILD") or ROOT / "build"),
                    rounds=options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS),
                    samples=options.samples or (SAMPLES_QUICK if options.quick else SAMPLES),
                    quick=options.quick,
                    say=lambda text: print(f"  {text}", file=sys.stderr, flush=True))


def measure(name: str, settings: Settings) -> list[Result] | None:
    """None when it could not be measured; the reason has been printed."""
    try:
        results: list[Result] = module_of(name).run(settings)
    except (CannotMeasure, AssertionError, OSError, RuntimeError) as error:
        print(f"{name:<14} could not be measured: {error}", flush=True)
        return None
    for result in results:
        print(result.line(), flush=True)
    return results


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    names = options.names or list(BENCHMARKS)
    if options.list:
        print("\n".join(f"{name:<14} {BENCHMARKS[name]}" for name in names))
        return 0
    if options.peers:
        for peer in sorted({peer for name in names for peer in module_of(name).PEERS}):
            print(peer)
        return 0

    process.stop_on_signals()
    settings = settings_of(options)
    print(f"{settings.rounds} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs\n{HEAD}", flush=True)
    outcomes = [measure(name, settings) for name in names]
    results = [result for outcome in outcomes if outcome for result in outcome]
    if options.json:
        options.json.write_text(json.dumps([result.to_json() for result in results], indent=2) + "\n",
                                encoding="utf-8")
    if None in outcomes:
        return 2
    return 1 if options.strict and not all(result.ok for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
