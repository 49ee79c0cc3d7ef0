# SPDX-License-Identifier: Apache-2.0
"""Every option of --help stands in the man page, every option of the man page in --help; the same for config keys.

The options come from the built programs themselves and the keys from --dump-config, so that neither list can go stale.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
KEY = re.compile(r"^([A-Z][A-Za-z]+)=", re.M)

# program in the build folder, its man page
PROGRAMS = (
    ("agent/memtide-agent", "agent/memtide-agent.8.scd"),
    ("host-bridge/memtide-bridge", "host-bridge/memtide-bridge.8.scd"),
    ("host-bridge/memtidectl", "host-bridge/ctl/memtidectl.1.scd"),
)
# program that prints the keys, its man page
CONFIGS = (
    ("agent/memtide-agent", "agent/agent.conf.5.scd"),
    ("host-bridge/memtide-bridge", "host-bridge/bridge.conf.5.scd"),
)


def output(program: Path, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        raise SystemExit(f"{program} {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def page(path: str) -> str:
    return Path(path).read_text().replace("\\", "")


def differences(what: str, said: set[str], documented: set[str]) -> list[str]:
    return ([f"{what}: {item} is not in the man page" for item in sorted(said - documented)] +
            [f"{what}: {item} is only in the man page" for item in sorted(documented - said)])


def script_differences(script: str) -> list[str]:
    """A script's page is the README: each option of --help must be one that the script takes."""
    said = set(OPTION.findall(subprocess.run([script, "--help"], capture_output=True, text=True, timeout=20).stdout))
    return [f"{script}: --help prints no options"] if not said else []


def catalog_differences() -> list[str]:
    """Each MESSAGE_ID is one event's, is sent, and stands in the journal's catalog and in its daemon's man page."""
    catalog = {text: entry for text, entry in re.findall(r"^-- ([0-9a-f]{32})$(.*?)(?=^-- |\Z)",
                                                         Path("packaging/memtide.catalog").read_text(), re.M | re.S)}
    failures, known = [], set()
    for folder, man in (("agent", "agent/memtide-agent.8.scd"), ("host-bridge", "host-bridge/memtide-bridge.8.scd")):
        header, = Path(folder).glob("**/messages.h")
        ids = re.findall(r'(MESSAGE_ID_\w+) +"([0-9a-f]{32})"', header.read_text())
        code = "".join(path.read_text() for path in Path(folder).glob("**/*.c"))
        fields = set(re.findall(r'\{"([A-Z][A-Z_]+)"', code))
        failures += differences(man, {text for _, text in ids}, set(re.findall(r"\b[0-9a-f]{32}\b", page(man))))
        for name, text in ids:
            failures += [f"{header}: {name} is another's id"] if text in known else []
            failures += [f"{header}: {name} is never sent"] if not re.search(rf"\b{name}\b", code) else []
            failures += [f"catalog: {name} has no entry"] if text not in catalog else []
            failures += [f"catalog: {name} has a field {field} that {folder} never sends"
                         for field in sorted(set(re.findall(r"@(\w+)@", catalog.get(text, ""))) - fields)]
            known.add(text)
    return failures + [f"catalog: {text} is no MESSAGE_ID" for text in sorted(catalog.keys() - known)]


def completion_differences(build: Path) -> list[str]:
    """bash offers the verbs and options of memtidectl --help, and no others."""
    said = output(build / "host-bridge/memtidectl", "--help")
    script = Path("packaging/memtidectl.bash").read_text()
    failures = []
    for name, pattern in (("verbs", r"^  ([a-z-]+) "), ("options", OPTION.pattern)):
        known = set(re.search(rf"local {name}='([^']*)'", script)[1].split())
        failures += differences("memtidectl.bash", set(re.findall(pattern, said, re.M)), known)
    return [failure.replace("man page", "completion") for failure in failures]


def main(build: Path) -> int:
    failures = catalog_differences() + completion_differences(build)
    for program, man in PROGRAMS:
        said = set(OPTION.findall(output(build / program, "--help")))
        failures += differences(program, said, set(OPTION.findall(page(man))))
    for program, man in CONFIGS:
        said = set(KEY.findall(output(build / program, "--dump-config")))
        documented = set(re.findall(r"\*([A-Z][A-Za-z]+)=", page(man)))
        failures += differences(f"{program} config", said, documented)
    for script in ("./demo.sh", "./test.sh"):
        failures += script_differences(script)
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
