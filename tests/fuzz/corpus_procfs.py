# SPDX-License-Identifier: Apache-2.0
"""Kernel files: as they are, and as a broken kernel, a container or a hostile root folder may have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC = Path(__file__).parents[1] / "fixtures" / "debian12-6.1" / "proc"
SYS = PROC.parent / "sys"

SOME = "some avg10=1.23 avg60=0.45 avg300=0.00 total=123456\n"
FULL = "full avg10=0.12 avg60=0.04 avg300=0.00 total=12345\n"
MOST = (1 << 64) - 1


def psi() -> Iterator[tuple[str, bytes]]:
    for name, text in {
            "memory": SOME + FULL, "some-only": SOME, "full-first": FULL + SOME, "no-newline": (SOME + FULL)[:-1],
            "largest": SOME.replace("123456", str(MOST)), "hundred-percent": SOME.replace("1.23", "100.00"),
            "another-order": "some total=5 avg300=0.00 avg60=0.00 avg10=0.00\n",
            "full-above-some": SOME + FULL.replace("12345", "999999999"),
            "empty": "", "newline": "\n", "full-only": FULL, "some-twice": SOME + SOME, "full-twice": SOME + FULL + FULL,
            "beyond-64-bits": SOME.replace("123456", str(MOST + 1)), "negative": SOME.replace("123456", "-1"),
            "hex": SOME.replace("123456", "0x10"), "no-total": SOME.replace(" total=123456", ""),
            "total-twice": SOME.replace("\n", " total=1\n"), "total-empty": SOME.replace("123456", ""),
            "unknown-field": SOME.replace("\n", " extra=1\n"), "unknown-line": SOME + "half avg10=0.00\n",
            "avg-without-point": SOME.replace("1.23", "123"), "avg-nan": SOME.replace("1.23", "nan"),
            "avg-comma": SOME.replace("1.23", "1,23"), "two-blanks": SOME.replace(" avg60", "  avg60"),
            "blank-at-end": SOME.replace("\n", " \n"), "carriage-return": SOME.replace("\n", "\r\n"),
            "tab": SOME.replace(" ", "\t"), "nul": SOME.replace("123456", "12\0456"), "line-of-4-kib": "some " + "x" * 4096,
            "cut": SOME[:30], "irq": SOME + "full avg10=0.00 avg60=0.00 avg300=0.00 total=\n",
            "eopnotsupp": "Operation not supported\n"}.items():
        yield name, text.encode()


def meminfo() -> Iterator[tuple[str, bytes]]:
    real = (PROC / "meminfo").read_text()
    lines = real.splitlines(keepends=True)
    for name, text in {
            "meminfo": real, "meminfo-reversed": "".join(reversed(lines)), "meminfo-no-newline": real[:-1],
            "meminfo-no-available": "".join(line for line in lines if "MemAvailable" not in line),
            "meminfo-extra-lines": "Unknown: 1 kB\n" * 50 + real, "meminfo-no-unit": real.replace(" kB", ""),
            "meminfo-other-unit": real.replace(" kB", " MB"), "meminfo-twice": real + real,
            "meminfo-cut": real[: len(real) // 2], "meminfo-crlf": real.replace("\n", "\r\n"),
            "meminfo-64-tib": f"MemTotal: {64 << 30} kB\nMemFree: 1 kB\nMemAvailable: 1 kB\n",
            "meminfo-above-64-tib": f"MemTotal: {(64 << 30) + 1} kB\nMemFree: 1 kB\nMemAvailable: 1 kB\n",
            "meminfo-wraps": f"MemTotal: {1 << 54} kB\nMemFree: {MOST} kB\nMemAvailable: {MOST + 1} kB\n",
            "meminfo-free-above-total": "MemTotal: 1 kB\nMemFree: 2 kB\nMemAvailable: 3 kB\nSwapTotal: 0 kB\nSwapFree: 9 kB\n",
            "meminfo-total-0": "MemTotal: 0 kB\nMemFree: 0 kB\nMemAvailable: 0 kB\n",
            "meminfo-negative": "MemTotal: -5 kB\n", "meminfo-no-value": "MemTotal:\nMemFree: \nMemAvailable:  kB\n",
            "meminfo-name-only": "MemTotal", "meminfo-prefix": "MemTotalX: 5 kB\nMemTotal : 5 kB\n",
            "meminfo-balloon": real + "Balloon:         65536 kB\n", "empty": "", "nul": "\0", "nuls": "\0" * 512,
            "line-of-64-kib": "x" * 65536, "meminfo-nul-in-value": "MemTotal: 1\0002 kB\n",
            "vmstat-one-line": "oom_kill 1", "vmstat-largest": f"oom_kill {MOST}\npgscan_direct {MOST}\n",
            "vmstat-beyond": f"oom_kill {MOST + 1}\n", "vmstat-two-blanks": "oom_kill  7\n",
            "vmstat-balloon-back": "balloon_inflate 5\nballoon_deflate 9\n", "vmstat-all-stalls":
            "".join(f"allocstall_{zone} {MOST}\n" for zone in ("dma", "dma32", "normal", "movable"))}.items():
        yield name, text.encode()
    yield "vmstat", (PROC / "vmstat").read_bytes()
    yield "vmstat-cut", (PROC / "vmstat").read_bytes()[:1000]
    yield from zones()
    yield "iomem", (PROC / "iomem").read_bytes()
    for name, text in {
            "virtio-mem": "100000000-1ffffffff : virtio0\n  100000000-13fffffff : System RAM (virtio_mem)\n",
            "zeros": "00000000-00000000 : System RAM (virtio_mem)\n" * 40, "backwards": "2-1 : System RAM (virtio_mem)\n",
            "beyond-64-bits": "10000000000000000-1 : System RAM (virtio_mem)\n", "no-end": "100-\n", "deep": " " * 500 + "1-2 : x\n",
            "largest": f"0-{MOST:x} : System RAM (virtio_mem)\n"}.items():
        yield f"iomem-{name}", text.encode()
    yield "zram-mm-stat", (SYS / "block" / "zram0" / "mm_stat").read_bytes()
    yield "zram-largest", b"1 2 18446744073709551615 4\n"
    yield "zram-beyond", b"1 2 18446744073709551616 4\n"
    yield "zram-two-numbers", b"1 2\n"
    yield "swaps-zram", b"/dev/zram7                              partition\t1\t0\t100\n"
    yield "swaps-zram-largest", b"/dev/zram18446744073709551616 partition 1 0 100\n"
    yield "swaps-file", b"/swapfile file 1 0 -2\n"


def zones() -> Iterator[tuple[str, bytes]]:
    real = (PROC / "zoneinfo").read_text()
    yield "zoneinfo", real.encode()
    yield "zoneinfo-two-nodes", (real + real.replace("Node 0", "Node 1")).encode()
    yield "zoneinfo-cut", real[: len(real) // 2].encode()
    yield "zoneinfo-largest", real.replace("present  ", f"present  {MOST}").encode()
    yield "zoneinfo-head-only", b"Node 0, zone   Normal\n"
    yield "zoneinfo-unknown-zone", b"Node 0, zone   Device\n  pages free     5\n        managed  5\n"
    yield "zoneinfo-values-first", b"  pages free     5\n        managed  5\n"
    yield "zoneinfo-two-times-2-63", (b"Node 0, zone   Normal\n  pages free     9223372036854775808\n"
                                      b"        high     9223372036854775808\n        managed  9223372036854775808\n") * 2
