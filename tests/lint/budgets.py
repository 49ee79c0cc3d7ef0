# SPDX-License-Identifier: Apache-2.0
"""Holds files and functions to their length budgets.

Walls, which fail: a file over 500 lines, a C function over 80, a Python function over 80. Targets, which fail only
when they are missed by the many: more than one file in ten over 300 lines, or one C function in ten over 45.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

FILE_TARGET, FILE_WALL = 300, 500
FUNCTION_TARGET, FUNCTION_WALL = 45, 80
MISSES_ALLOWED = 0.10

TABLE = re.compile(r"=\s*\{\s*$")


def tree(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        check=True, capture_output=True, text=True).stdout.splitlines()
    return [path for path in map(Path, listed) if path.exists()]


def c_functions(path: Path) -> list[tuple[str, int, int]]:
    """(name, line, length) of each function: from the line of its opening brace to the brace in column 0."""
    found, begin, name = [], 0, ""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        opens = line.endswith("{") and line[:1] not in " \t#}/" and not TABLE.search(line)
        if opens and not re.match(r"(static |const )*(struct|union|enum|typedef)\b[^()]*$", line[:-1]):
            begin, name = number, line
        if line.startswith("}") and begin:
            found.append((re.sub(r"\(.*", "", name).split()[-1].lstrip("*"), begin, number - begin + 1))
            begin = 0
    return found


def python_functions(path: Path) -> list[tuple[str, int, int]]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [(node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1)
            for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def main() -> int:
    failures: list[str] = []
    sources = tree("*.c", "*.h", "*.py", "*.sh", "test.sh", "demo.sh")
    lengths = {path: len(path.read_text().splitlines()) for path in sources}
    failures += [f"{path}: {n} lines, the wall is {FILE_WALL}" for path, n in lengths.items() if n > FILE_WALL]
    long_files = [f"{path} ({n})" for path, n in lengths.items() if n > FILE_TARGET]
    if len(long_files) > MISSES_ALLOWED * len(sources):
        failures.append(f"{len(long_files)} of {len(sources)} files over {FILE_TARGET} lines: {', '.join(long_files)}")

    functions = [(path, *f) for path in sources if path.suffix in (".c", ".h") for f in c_functions(path)]
    python = [(path, *f) for path in sources if path.suffix == ".py" for f in python_functions(path)]
    failures += [f"{path}:{line}: {name} has {n} lines, the wall is {FUNCTION_WALL}"
                 for path, name, line, n in functions + python if n > FUNCTION_WALL]
    long_functions = [f"{path}:{line} {name} ({n})" for path, name, line, n in functions if n > FUNCTION_TARGET]
    if len(long_functions) > MISSES_ALLOWED * max(1, len(functions)):
        failures.append(f"{len(long_functions)} of {len(functions)} functions over {FUNCTION_TARGET} lines")

    print(f"{len(sources)} files, {len(long_files)} over {FILE_TARGET} lines: {', '.join(long_files) or '-'}")
    print(f"{len(functions)} C functions, {len(long_functions)} over {FUNCTION_TARGET} lines: {', '.join(long_functions) or '-'}")
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
