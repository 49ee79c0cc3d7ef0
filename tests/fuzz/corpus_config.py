# SPDX-License-Identifier: Apache-2.0
"""Configuration files for the table of fuzz-config.c: as people write them, and as nobody should."""

from __future__ import annotations

from collections.abc import Iterator

ALL = """[Fuzz]
On=yes
Number=42
Size=1.5G

[Limits]
# a remark
Timespan=250ms
Percent=15%
Word=dry-run
Text=two words
Letter=z
"""


def texts() -> Iterator[tuple[str, str]]:
    yield "all", ALL
    yield "empty", ""
    yield "remarks-only", "# one\n; two\n\n"
    yield "blanks-around", "[Fuzz]\n  Number = 7  \n"
    yield "crlf", ALL.replace("\n", "\r\n")
    yield "no-newline", "[Fuzz]\nNumber=7"
    yield "twice", "[Fuzz]\nNumber=7\nNumber=8\n"
    yield "section-twice", ALL + ALL
    yield "empty-value", "[Fuzz]\nNumber=\n"
    yield "indented-continuation", "[Fuzz]\nNumber=7\n  Size=1G\n"
    for name, line in {
            "number-2": "Number=2", "number-10000": "Number=10000", "number-hex": "Number=0x10", "number-negative": "Number=-5",
            "number-beyond": "Number=99999999999999999999", "number-unit": "Number=5M", "size-0": "Size=0", "size-64t": "Size=64T",
            "size-65t": "Size=65T", "size-overflow": "Size=99999999999999T", "size-fraction": "Size=0.1G", "size-mib": "Size=5MiB",
            "size-nan": "Size=nan", "on-maybe": "On=maybe", "on-1": "On=1", "typo": "Nubmer=7", "unknown": "Whatever=1",
            "no-equals": "Number 7", "no-key": "=7", "no-value": "Number", "colon": "Number: 7",
            "quotes": 'Size="5M"', "remark-behind": "Number=7 ; seven", "remark-hash": "Number=7 # seven"}.items():
        yield f"fuzz-{name}", f"[Fuzz]\n{line}\n"
    for name, line in {
            "timespan-0": "Timespan=0", "timespan-plain": "Timespan=5", "timespan-2h": "Timespan=2h", "timespan-unit": "Timespan=5 days",
            "percent-101": "Percent=101%", "percent-no-sign": "Percent=50", "word-unknown": "Word=ruin", "word-case": "Word=Observe",
            "text-empty": "Text=", "text-32": "Text=" + "x" * 32, "text-33": "Text=" + "x" * 33, "text-equals": "Text=a=b",
            "text-semicolon": "Text=a ;b", "text-hash": "Text=a#b", "text-bracket": "Text=[x]", "text-utf-8": "Text=Größe",
            "text-nul": "Text=a\0b", "text-escape": "Text=\x1b[2J", "text-tab": "Text=a\tb", "text-path": "Text=../../etc/shadow",
            "letter-2": "Letter=zz", "letter-upper": "Letter=Z", "letter-empty": "Letter="}.items():
        yield f"limits-{name}", f"[Limits]\n{line}\n"
    yield "key-before-section", "Number=7\n"
    yield "section-unknown", "[Nowhere]\nNumber=7\nSize=8\n"
    yield "section-typo", "[Fuz]\nNumber=7\n"
    yield "section-open", "[Fuzz\nNumber=7\n"
    yield "section-empty", "[]\nNumber=7\n"
    yield "section-with-more", "[Fuzz] Number=7\n"
    yield "section-long", "[" + "x" * 300 + "]\nNumber=7\n"
    yield "line-of-5000", "[Fuzz]\nNumber=" + "7" * 5000 + "\n"
    yield "key-of-5000", "[Fuzz]\n" + "N" * 5000 + "=7\n"
    yield "lines-2000", "[Fuzz]\n" + "Number=7\n" * 2000
    yield "errors-200", "[Fuzz]\n" + "Number=x\n" * 200
    yield "byte-order-mark", "\ufeff[Fuzz]\nNumber=7\n"
    yield "vertical-tab", "[Fuzz]\nNumber=7\v\n"


def cases() -> Iterator[tuple[str, bytes]]:
    for name, text in texts():
        yield name, text.encode()
    yield "bad-utf-8", b"[Fuzz]\nNumber=\xff\xfe\n"
    yield "utf-16", "[Fuzz]\nNumber=7\n".encode("utf-16")
    yield "nuls", bytes(100)
