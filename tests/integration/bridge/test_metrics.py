# SPDX-License-Identifier: Apache-2.0
"""/metrics of a running bridge: what it says, what it refuses, and that it disturbs nobody."""
from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from qmp_peer import MIB
from tests.guest.apt import AptError
from tests.guest.package import unpacked
from world import World

SAMPLE = re.compile(r'^([a-z_]+)(?:\{(.*)\})? ([0-9.]+)$')


def free_port(family: socket.AddressFamily = socket.AF_INET) -> int:
    with socket.socket(family) as probe:
        probe.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def port(world: World) -> int:
    number = free_port()
    listen(world, f"127.0.0.1:{number}")
    return number


def listen(world: World, address: str) -> None:
    world.configure("Listen", address)


def start(world: World, port: int, host: str = "127.0.0.1") -> None:
    """Until the metrics answer: their port is opened after the control socket."""
    def listens() -> bool:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            return probe.connect_ex((host, port)) == 0
    world.start()
    world.wait(listens, "the port of the metrics")


def scrape(port: int, host: str = "127.0.0.1") -> str:
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return str(answer.read().decode())


def samples(port: int) -> dict[str, float]:
    found = {}
    for line in scrape(port).splitlines():
        if not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, line
            name, labels, value = match.groups()
            found[f"{name}{{{labels}}}" if labels else name] = float(value)
    return found


def exchange(port: int, request: bytes, timeout: float = 5) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as peer:
        peer.sendall(request)
        answer = b""
        while part := peer.recv(65536):
            answer += part
        return answer


def test_a_grow_is_counted(world: World, port: int) -> None:
    world.configure("HoldAfterGrow", "1min")  # it stays until it is looked at
    vm = world.add()
    world.start().wait_managed()
    vm.keep_reporting()
    before = samples(port)
    assert before["memtide_host_budget_bytes"] == 8 << 30
    assert before['memtide_vm_info{vm="a",state="managed"}'] == 1
    done = 'memtide_resize_requests_total{direction="grow",actuator="virtio-mem",result="done"}'
    assert before[done] == 0
    vm.agent.alarm(256 * MIB)
    assert world.wait_closed()["result"] == "done"
    world.wait(lambda: samples(port)[done] == 1, "the grow to be counted")
    after = samples(port)
    assert after['memtide_vm_memory_plugged_bytes{vm="a"}'] == vm.qmp.size
    assert after['memtide_resize_duration_seconds_count{direction="grow"}'] == 1
    assert after['memtide_reports_total{vm="a"}'] > 1
    assert after['memtide_report_age_seconds{vm="a"}'] < 5


@pytest.fixture(scope="module")
def promtool() -> str:
    """Of Debian's package prometheus, which would start a server when installed."""
    installed = shutil.which("promtool")
    if installed:
        return installed
    try:
        return str(unpacked("prometheus") / "usr/bin/promtool")
    except AptError as error:
        pytest.skip(f"no promtool: {error}")


def test_promtool_is_content(world: World, port: int, promtool: str) -> None:
    vm = world.add()
    world.add("b")
    world.start().wait_managed()
    vm.agent.alarm(256 * MIB)
    world.wait_closed()
    done = subprocess.run([promtool, "check", "metrics"], input=scrape(port), capture_output=True, text=True,
                          check=False, timeout=30)
    assert done.returncode == 0 and not done.stdout and not done.stderr, done


def test_only_metrics_and_only_reading(world: World, port: int) -> None:
    start(world, port)
    for path in ("/", "/metrics/", "/metrics2", "/../etc/passwd", "/%2e%2e/metrics"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5)
        assert error.value.code == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE"):
        answer = exchange(port, f"{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                                "Connection: close\r\n\r\nhello".encode())
        assert b" 405 " in answer.splitlines()[0] and b"Allow: GET, HEAD" in answer, method
    head = exchange(port, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b" 200 " in head.splitlines()[0] and head.endswith(b"\r\n\r\n")
    assert b"memtide_build_info" in exchange(
        port, b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")


@pytest.mark.parametrize("request_", [b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\n\r\n",
                                      b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 9000 + b"\r\n"])
def test_garbage_costs_itself(world: World, port: int, request_: bytes) -> None:
    start(world, port)
    try:
        assert b"memtide_" not in exchange(port, request_, timeout=0.5)
    except OSError:
        pass  # closed on us in the middle of it
    assert "memtide_build_info" in scrape(port)


def test_connections_are_bounded(world: World, port: int) -> None:
    """More than there are places, all silent: they are let go after a while, and nobody else is held up."""
    vm = world.add()
    world.start().wait_managed()
    peers = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(24)]
    for peer in peers[:8]:
        peer.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
    vm.agent.alarm(256 * MIB)
    assert world.wait_closed()["result"] == "done"
    for peer in peers:
        peer.close()
    world.wait(lambda: "memtide_build_info" in scrape(port), "a place")


def test_a_slow_reader_gets_one_text(world: World, port: int) -> None:
    for number in range(40):
        world.add(f"vm{number}")
    start(world, port)
    world.wait_managed()  # what is not known of a VM yet has no line: the second text would be the longer one
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", port))
        peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(0.6)  # meanwhile the text goes stale and is made anew for another
        other = scrape(port)
        answer = b""
        while part := peer.recv(3000):
            answer += part
    body = answer.split(b"\r\n\r\n", 1)[1]
    assert body.endswith(b"\n") and other.count("\n") == body.count(b"\n")


def test_ipv6(world: World) -> None:
    try:
        number = free_port(socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no ::1")
    listen(world, f"[::1]:{number}")
    start(world, number, "::1")
    assert "memtide_build_info" in scrape(number, "[::1]")


def test_an_address_in_use_costs_the_metrics_alone(world: World, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        world.add()
        world.start().wait_managed()
    assert f"port {port}" in world.log.read_text(encoding="utf-8")
