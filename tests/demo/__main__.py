# SPDX-License-Identifier: Apache-2.0
"""python3 -m tests.demo: what demo.sh runs once everything is installed and built.

Exit status: 0 every claim held, 1 one did not or something broke, 2 wrong usage, 130 on Ctrl-C.
"""
from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from tests.demo.claims import Run, judge
from tests.demo.figures import Figures, contrast_figures, grows, latency_words, served_figures
from tests.demo.options import Options, parse_options
from tests.demo.plot import PlotError, draw
from tests.demo.run import Performance
from tests.demo.stage import AGENT_CONFIG, BRIDGE_CONFIG, Stage
from tests.demo.summary import print_summary, write_json
from tests.demo.words import mark
from tests.guest import process


def main() -> int:
    options = parse_options(sys.argv[1:])
    process.stop_on_signals()
    folder = Path(tempfile.mkdtemp(prefix="mt-"))
    ok = False
    try:
        ok = _perform(options, folder)
    except KeyboardInterrupt:
        print("\ninterrupted: guests and bridge are stopped", file=sys.stderr)
        return 130
    except Exception as error:  # whatever broke, the user wants one line and the logs, not a trace
        print(f"\n{mark(False)} {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        process.stop_all()
        if ok and not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"logs: {folder}")
    return 0 if ok else 1


def _perform(options: Options, folder: Path) -> bool:
    for config in (BRIDGE_CONFIG, AGENT_CONFIG):
        print(config.read_text(encoding="utf-8"))
    stage = Stage(options, folder)
    try:
        performance = Performance(stage, options.seconds)
        performance.run()
        return _conclude(options, stage, performance)
    finally:
        stage.close()


def _conclude(options: Options, stage: Stage, performance: Performance) -> bool:
    began, decisions = performance.schedule.began, performance.watcher.decisions
    columns: dict[str, Figures] = {"memtide": served_figures(stage.served, began, decisions)}
    for lane in stage.lanes[1:]:
        requests = [at for at, _ in stage.script.log] if stage.script and lane.key == "polling_script" else []
        columns[lane.key] = contrast_figures(lane, began, requests)
    swap_kib = int(stage.served.guest.check("awk '/^SwapTotal:/ { print $2 }' /proc/meminfo"))
    claims = judge(Run(served=stage.served, figures=columns["memtide"], decisions=decisions, began=began,
                       load_phase=performance.load_phase, swap_bytes=swap_kib * 1024,
                       bare=columns.get("no_agent")))
    ok = all(claim.holds for claim in claims)
    print_summary(columns, {lane.key: lane.title for lane in stage.lanes}, claims,
                  latency_words(grows(decisions, began)))
    if options.json:
        write_json(options.json, ok, stage.machine.accelerator.name, stage.machine.kernel.label, columns)
    if options.plot:
        try:
            draw(options.plot, stage.lanes, began)
        except PlotError as error:
            print(f"no picture: {error}", file=sys.stderr)
            return False
    return ok


if __name__ == "__main__":
    sys.exit(main())
