"""Those who ask: wrk, one reader of a long answer, and connections that only stay open."""
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

# Enough that the server never waits for its client.
CONNECTIONS = 64
PATIENCE = 60.0
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def wrk(port, path, seconds=2, connections=CONNECTIONS, whole=False):
    """Answers a second, and the seconds within which 99 of 100 came; or how many there were, if `whole`. All must be 2xx."""
    command = [shutil.which("wrk") or sys.exit("wrk is not here: install it (Debian: apt-get install wrk)")]
    command += ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--latency"]
    said = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], check=True, capture_output=True, text=True).stdout
    if re.search(r"Non-2xx|Socket errors", said) or "Requests/sec" not in said:
        sys.exit(f"{path} was not answered well:\n{said}")
    if whole:
        return int(re.search(r"(\d+) requests in", said).group(1))
    slow = re.search(r"99%\s+([0-9.]+)(us|ms|s|m)\b", said)
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", said).group(1)), float(slow.group(1)) * UNITS[slow.group(2)]


def request(path):
    return f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode()


def connect(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def status(port, path="/", patience=1.0):
    """The status of an answer, 0 without one; not by a library, whose own start would be measured."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=patience) as client:
            client.sendall(request(path).replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            answer = b""
            while part := client.recv(65536):
                answer += part
            return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
    except (OSError, ValueError):
        return 0


def stream(port, path, count):
    """Megabytes a second of one answer of `count` bytes."""
    with connect(port) as client:
        client.sendall(request(path))
        room, got = bytearray(256 << 10), 0
        began = time.perf_counter()
        while got < count:
            read = client.recv_into(room)
            if read == 0 or got == 0 and not room.startswith(b"HTTP/1.1 200"):
                sys.exit(f"{path} ended after {got} bytes: {bytes(room[:200])}")
            got += read
        took = time.perf_counter() - began
    return got / 1e6 / took


class Idle:
    """Connections that asked once, and stay open."""

    def __init__(self, port):
        self.port, self.sockets = port, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.sockets:
            each.close()

    def open_until(self, count):
        asked = request("/")
        while len(self.sockets) < count:
            # By hundreds: more than the listener's queue would be dropped.
            fresh = [connect(self.port) for _ in range(min(100, count - len(self.sockets)))]
            self.sockets += fresh
            for each in fresh:
                each.sendall(asked)
            for each in fresh:
                answer = each.recv(4096)
                if not answer.startswith(b"HTTP/1.1 200"):
                    sys.exit(f"connection {len(self.sockets)} got {answer[:100]}")


class Watchers:
    """Dashboards that are open: each asks for what they ask for, once a second."""

    def __init__(self, port, count, paths):
        self.port, self.count, self.paths = port, count, paths
        self.ended, self.failed = threading.Event(), []

    def _watch(self):
        while True:
            self.failed += [path for path in self.paths if status(self.port, path, PATIENCE) != 200]
            if self.ended.wait(1.0):
                return

    def __enter__(self):
        self.threads = [threading.Thread(target=self._watch) for _ in range(self.count)]
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        if self.failed:
            sys.exit(f"a dashboard got no {self.failed[0]}")
