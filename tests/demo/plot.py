# SPDX-License-Identifier: Apache-2.0
"""The picture of a run by gnuplot: memory, available and stall of each guest over one time axis, with what
was done to it."""
from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.demo.lane import Lane
from tests.demo.phases import LOAD_BYTES, RATE_MIB_S, Phase

MIB = 1 << 20
STEP_S = 0.5
LABEL_GAP = 0.016  # of the time axis: labels closer than that would cover each other


class PlotError(Exception):
    """gnuplot is missing or refused."""


def draw(path: Path, lanes: list[Lane], began: dict[Phase, float]) -> None:
    if shutil.which("gnuplot") is None:
        raise PlotError("gnuplot is not installed (apt-get install gnuplot-nox)")
    start = began[Phase.CALM]
    with tempfile.TemporaryDirectory(prefix="memtide-plot-") as folder:
        tables = [_write_table(Path(folder, f"{lane.key}.dat"), lane, start) for lane in lanes]
        script = Path(folder, "plot.gp")
        script.write_text(_script(path, lanes, tables, began), encoding="utf-8")
        result = subprocess.run(["gnuplot", script], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise PlotError(result.stderr.strip())


def _write_table(path: Path, lane: Lane, start: float) -> Path:
    """Columns: seconds, usable MiB, available MiB, stall in ms per s, MiB of the load. Two rows a second are
    enough for eyes."""
    rows, last = [], None
    for sample in lane.guest.samples.all:
        at = sample.t_usec / 1e6 + lane.clock_s - start
        if last is not None and at - last[0] < STEP_S:
            continue
        stall = (sample.stall_some_usec - last[1]) / 1000 / (at - last[0]) if last else 0.0
        last = (at, sample.stall_some_usec)
        if at >= 0:
            rows.append(f"{at:.2f} {lane.usable_bytes(sample) / MIB:.1f} "
                        f"{sample.available_bytes / MIB:.1f} {stall:.2f} {sample.load_bytes / MIB:.0f}")
    path.write_text("\n".join(rows) + "\n", encoding="ascii")
    return path


def _script(path: Path, lanes: list[Lane], tables: list[Path], began: dict[Phase, float]) -> str:
    stalls = [float(row.split()[3]) for table in tables for row in table.read_text(encoding="ascii").splitlines()]
    usable = [lane.usable_bytes(sample) for lane in lanes for sample in lane.guest.samples.all]
    tops = (max(usable) / MIB * 1.3, max([*stalls, 1.0]) * 1.1)
    body = [line for lane, table in zip(lanes, tables) for line in _column(lane, table, tops, began)]
    return "\n".join([*_head(path, len(lanes), max(began.values()) - began[Phase.CALM]), *body,
                      "unset multiplot", ""])


def _head(path: Path, columns: int, seconds: float) -> list[str]:
    size = f"{420 * columns + 60},640"
    terminal = f"svg size {size} background 'white' font 'sans,12'" if path.suffix == ".svg" \
        else f"pngcairo size {size} font 'sans,10'"
    title = f"guests of 512 MiB, a load of {LOAD_BYTES // MIB} MiB at {RATE_MIB_S} MiB/s"
    return [f"set terminal {terminal}", f"set output '{path.resolve()}'",
            f"set multiplot layout 2,{columns} columnsfirst title '{title}'",
            f"set xrange [0:{seconds:.0f}]", "set grid", "set key top right horizontal samplen 2",
            "set lmargin 9", "set rmargin 2"]


def _column(lane: Lane, table: Path, tops: tuple[float, float], began: dict[Phase, float]) -> list[str]:
    """Memory above, stall below, on the same scales in all columns."""
    return ["unset arrow", "unset label", f"set title '{lane.title}'", f"set yrange [0:{tops[0]:.0f}]",
            "set ylabel 'MiB'", "unset xlabel", *_phase_marks(began), *_action_labels(lane, began),
            f"plot '{table}' using 1:5 with filledcurves y1=0 fc '#e4e4e4' title 'load', "
            f"'{table}' using 1:2 with lines lw 2 lc '#1f5fa8' title 'guest RAM', "
            f"'{table}' using 1:3 with lines lw 2 lc '#2a9d3f' title 'available'",
            "unset arrow", "unset label", "unset title", f"set yrange [0:{tops[1]:.1f}]",
            "set ylabel 'stall, ms per s'", "set xlabel 'seconds'",
            f"plot '{table}' using 1:4 with impulses lw 2 lc '#c0392b' notitle"]


def _phase_marks(began: dict[Phase, float]) -> list[str]:
    """A grey line where a phase begins; those that say something have their name."""
    start, lines = began[Phase.CALM], []
    for phase, at in began.items():
        x = at - start
        lines.append(f"set arrow from {x:.1f}, graph 0 to {x:.1f}, graph 1 nohead lc '#cccccc'")
        if phase in (Phase.RAMP, Phase.SHRINK):
            lines.append(f"set label '{phase.value}' at {x + 0.5:.1f}, graph 0.03 tc '#666666' front")
    return lines


def _action_labels(lane: Lane, began: dict[Phase, float]) -> list[str]:
    """At the moment when it was taken, or a little later where the one before is still in the way."""
    start = began[Phase.CALM]
    gap = LABEL_GAP * (max(began.values()) - start)
    lines, free_from = [], 0.0
    for action in lane.actions:
        if action.label:
            x = max(action.at - start, free_from)
            free_from = x + gap
            lines.append(f"set label '{action.label}' at {x:.2f}, graph 0.9 rotate by 90 right font ',8' "
                         f"tc '#aa3300' front")
    return lines
