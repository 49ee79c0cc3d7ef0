# SPDX-License-Identifier: Apache-2.0
"""A domain's XML: libvirt's own (tests/fixtures), and what its users, or somebody in its place, may write there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

REAL = Path(__file__).parents[1] / "fixtures/libvirt/domain.xml"
NAMESPACE = "https://memtide.org/xmlns/policy/1"
PORT = "<target type='virtio' name='org.memtide.agent.0'/>"


def domain(devices: str = "", total: object = 1572864, head: str = "<name>a</name><uuid>u</uuid>", more: str = "",
           unit: str = "KiB") -> str:
    return f"<domain>{head}<memory unit='{unit}'>{total}</memory>{more}<devices>{devices}</devices></domain>"


def virtio_mem(size: object = 1048576, block: object = 2048, requested: object = 4096, current: object = 2048,
               tail: str = "<alias name='vm0'/>") -> str:
    return (f"<memory model='virtio-mem'><target><size unit='KiB'>{size}</size><block unit='KiB'>{block}</block>"
            f"<requested unit='KiB'>{requested}</requested><current unit='KiB'>{current}</current></target>{tail}"
            "</memory>")


def dimm(alias: str = "ua-memtide-dimm0", base: str = "0x140000000", size: object = 262144) -> str:
    return (f"<memory model='dimm'><target><size unit='KiB'>{size}</size></target><alias name='{alias}'/>"
            f"<address type='dimm' slot='0' base='{base}'/></memory>")


def policy(attributes: str) -> str:
    return domain(more=f"<metadata><m:policy xmlns:m='{NAMESPACE}' {attributes}/></metadata>")


def shapes() -> Iterator[tuple[str, str]]:
    yield "empty", ""
    yield "text", "domain"
    yield "root-alone", "<domain/>"
    yield "other-root", "<network><name>a</name><uuid>u</uuid></network>"
    yield "without-uuid", domain(head="<name>a</name>")
    yield "name-long", domain(head=f"<name>{'n' * 300}</name><uuid>u</uuid>")
    yield "uuid-long", domain(head=f"<name>a</name><uuid>{'u' * 40}</uuid>")
    yield "name-of-elements", domain(head="<name>a<b>c</b></name><uuid>u</uuid>")
    yield "half", domain()[:-20]
    yield "doctype", "<!DOCTYPE domain>" + domain()
    yield "entity", "<!DOCTYPE d [<!ENTITY n 'a'>]>" + domain(virtio_mem(tail="<alias name='&n;'/>"))
    yield "entities-nested", ("<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
                              "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]>" + domain(head="<name>&c;</name><uuid>u</uuid>"))
    yield "entity-external", "<!DOCTYPE d [<!ENTITY n SYSTEM 'file:///etc/hostname'>]>" + domain(
        head="<name>&n;</name><uuid>u</uuid>")
    yield "comments", domain("<!-- " + virtio_mem().replace("--", "") + " -->")
    yield "cdata", domain(head="<name><![CDATA[<a>&]]></name><uuid>u</uuid>")
    yield "deep", "<domain>" * 200 + "</domain>" * 200
    yield "too-deep", "<domain>" * 300 + "</domain>" * 300
    yield "utf-16-declared", "<?xml version='1.0' encoding='UTF-16'?>" + domain()


def sizes() -> Iterator[tuple[str, str]]:
    yield "unit-mib", domain(unit="MiB")
    for name, total in (("negative", -1), ("empty", ""), ("real", 1.5), ("largest", 2**64 - 1), ("beyond", 2**64),
                        ("64-tib", 64 << 30), ("65-tib", 65 << 30), ("words", "many"), ("blanks", " 1024 ")):
        yield f"total-{name}", domain(total=total)
    yield "less-than-its-devices", domain(virtio_mem(), total=1024)
    yield "max-memory", domain(more="<maxMemory slots='300' unit='KiB'>8388608</maxMemory>")
    yield "max-memory-odd", domain(more="<maxMemory slots='-1' unit='GiB'>8</maxMemory>")


def devices() -> Iterator[tuple[str, str]]:
    yield "virtio-mem", domain(virtio_mem())
    yield "virtio-mem-no-alias", domain(virtio_mem(tail=""))
    yield "virtio-mem-alias-long", domain(virtio_mem(tail=f"<alias name='{'v' * 70}'/>"))
    yield "virtio-mem-two-aliases", domain(virtio_mem(tail="<alias name='a'/><alias name='b'/>"))
    yield "virtio-mem-alias-quoted", domain(virtio_mem(tail="<alias name='a&quot;&lt;&#10;b'/>"))
    yield "virtio-mem-same-alias", domain(virtio_mem() * 2)
    yield "virtio-mem-9", domain("".join(virtio_mem(size=2048, tail=f"<alias name='v{n}'/>") for n in range(9)))
    yield "virtio-mem-no-request", domain(virtio_mem(requested=""))
    yield "virtio-mem-two-requests", domain(virtio_mem().replace(
        "<requested", "<requested unit='KiB'>1</requested><requested", 1))
    yield "virtio-mem-request-of-elements", domain(virtio_mem(requested="<b>4096</b>"))
    yield "virtio-mem-foreign-prefix", domain(virtio_mem(tail="<alias name='vm0'/><x:y x:z='1'/>"))
    yield "dimm", domain(dimm())
    yield "dimm-15-and-16", domain(dimm("ua-memtide-dimm15") + dimm("ua-memtide-dimm16"))
    yield "dimm-twice", domain(dimm() * 2)
    yield "dimm-base-beyond", domain(dimm(base="0xffffffffffffffff"))
    yield "dimm-base-words", domain(dimm(base="here"))
    yield "dimms-300", domain("".join(dimm(f"dimm{n}") for n in range(300)))
    yield "other-models", domain("<memory model='nvdimm'><target><size unit='KiB'>1</size></target></memory>"
                                 "<memory model='sgx-epc'><target><size unit='KiB'>1</size></target></memory>"
                                 "<memory><target><size unit='KiB'>1</size></target></memory>")
    yield "balloon", domain("<memballoon model='virtio-non-transitional'/>")
    yield "balloon-none", domain("<memballoon model='none'/>")
    yield "port", domain(f"<channel type='unix'><source path='/p'/>{PORT}</channel>")
    yield "port-path-long", domain(f"<channel type='unix'><source path='/{'p' * 120}'/>{PORT}</channel>")
    yield "port-pty", domain(f"<channel type='pty'><source path='/dev/pts/1'/>{PORT}</channel>")
    yield "ports-2", domain(f"<channel type='unix'><source path='/p'/>{PORT}</channel>" * 2)


def policies() -> Iterator[tuple[str, str]]:
    yield "policy", policy("min='512M' max='device'")
    yield "policy-empty", policy("")
    yield "policy-line-breaks", policy("min='1&#10;Max=device&#13;&#9;x'")
    yield "policy-other-prefix", policy("m:min='1M' min='2M' x:max='1'")
    yield "policy-letters", policy("élan='1' Min='2' ñ='ü'")
    yield "policy-too-long", policy(f"min='{'1' * 1100}'")
    yield "policy-just-fits", policy(f"m='{'1' * (1023 - len('[VM]') - len('M='))}'")
    yield "policy-of-elements", domain(more=f"<metadata><policy xmlns='{NAMESPACE}'><min>1</min></policy></metadata>")


def cases() -> Iterator[tuple[str, bytes]]:
    yield "real", REAL.read_bytes()
    for part in (shapes, sizes, devices, policies):
        for name, text in part():
            yield name, text.encode()
    yield "bad-utf-8", domain(head="<name>\xff</name><uuid>u</uuid>").encode("latin-1")
    yield "nul", domain().encode() + b"\0" + domain().encode()
