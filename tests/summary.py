# SPDX-License-Identifier: Apache-2.0
"""Adds up what the suites left behind and prints the table that ends ./test.sh.

Each suite leaves one of: NAME.json (meson, a JSON object per line), NAME.xml (pytest's JUnit), NAME.steps
(lint: "ok|fail|skip NAME [why]" per line), and beside it NAME.unsteady (tests/unsteady.py). A suite that left nothing counts as one failure: a crash of the
runner must not look like success.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Tally:
    """What one suite came to."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    unsteady: int = 0  # of those that passed
    notes: list[str] = field(default_factory=list)

    def count(self, verdict: str, name: str, why: str = "") -> None:
        if verdict == "ok":
            self.passed += 1
        elif verdict == "skip":
            self.skipped += 1
            self.notes.append(f"skipped {name}: {why or 'no reason given'}")
        else:
            self.failed += 1
            self.notes.append(f"FAILED {name}{': ' + why if why else ''}")


def from_meson(path: Path) -> Tally:
    tally = Tally()
    for line in path.read_text().splitlines():
        test = json.loads(line)
        verdict = {"OK": "ok", "EXPECTEDFAIL": "ok", "SKIP": "skip"}.get(test["result"], "fail")
        why = test.get("stdout", "").strip().splitlines()[-1:] if verdict == "skip" else [test["result"]]
        tally.count(verdict, test["name"], why[0] if why else "")
    return tally


def first_tries(path: Path) -> dict[str, str]:
    """Why those failed that were tried again."""
    if not path.exists():
        return {}
    return dict(line.split("\t", 1) for line in path.read_text().splitlines())


def from_junit(path: Path) -> Tally:
    tally = Tally()
    failed_first = first_tries(path.with_suffix(".unsteady"))
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '').rsplit('.', 1)[-1]}::{case.get('name')}"
        skipped = case.find("skipped")
        broken = case.find("failure") if case.find("failure") is not None else case.find("error")
        if skipped is not None:
            tally.count("skip", name, skipped.get("message", ""))
        elif broken is not None:
            tally.count("fail", name, broken.get("message", "").splitlines()[0][:160])
        else:
            tally.count("ok", name)
            if name in failed_first:
                tally.unsteady += 1
                tally.notes.append(f"UNSTEADY, passed at the second try: {name}: {failed_first[name][:160]}")
    return tally


def from_steps(path: Path) -> Tally:
    tally = Tally()
    for line in path.read_text().splitlines():
        verdict, name, *why = line.split(maxsplit=2)
        tally.count(verdict, name, why[0] if why else "")
    return tally


def read_suite(results: Path, suite: str) -> Tally:
    for suffix, reader in ((".json", from_meson), (".xml", from_junit), (".steps", from_steps)):
        path = results / (suite + suffix)
        if path.exists():
            tally = reader(path)
            if tally.passed + tally.failed + tally.skipped > 0:
                return tally
    return Tally(failed=1, notes=[f"FAILED {suite}: it left no result"])


def main(results: Path, suites: list[str]) -> int:
    tallies = {suite: read_suite(results, suite) for suite in suites}
    print(f"\n{'suite':<14}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for suite, tally in tallies.items():
        seconds = results / f"{suite}.seconds"
        took = seconds.read_text().strip() if seconds.exists() else "-"
        print(f"{suite:<14}{tally.passed:>8}{tally.failed:>8}{tally.skipped:>9}{took:>9}")
    notes = [f"  {suite}: {note}" for suite, tally in tallies.items() for note in tally.notes]
    if notes:
        print("\n" + "\n".join(notes))
    passed, failed, skipped, unsteady = (sum(getattr(t, what) for t in tallies.values())
                                         for what in ("passed", "failed", "skipped", "unsteady"))
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped" + (f", {unsteady} of the passed unsteady" if unsteady else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
