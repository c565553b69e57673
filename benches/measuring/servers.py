"""Those who are asked: members, and what they are compared with. Each is a process on the server's processor, ended by its id."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

from . import clients, machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
TOOLS = TARGET / "tools" / "compared"
PATIENCE = 60.0
LISTENERS = ("public", "peer", "admin", "metrics")


def build(root=ROOT, profile=("--release",), bench=True, target=TARGET):
    """Builds a member, and what it is compared with; the paths of both."""
    what = ["--bin", "random-generator", *(["--bench", "bare"] if bench else [])]
    command = [os.environ.get("CARGO", "cargo"), "build", "--locked", *profile, *what, "--message-format", "json-render-diagnostics"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    said = subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    built = {}
    for message in map(json.loads, said.splitlines()):
        if message.get("executable"):
            built[message["target"]["name"]] = pathlib.Path(message["executable"])
    return built["random-generator"], built.get("bare")


def free_ports(count):
    """Ports that nobody has now, held all at once so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Server:
    """Started on its processor, and killed at the end of the block; answers `ready` with a 200 before the block begins."""

    def __init__(self, command, port, directory=None, ready="/", environment=None, cpu=machine.SERVER):
        self.port, self.directory = port, directory
        environment = {"PATH": os.environ["PATH"], **(environment or {})}
        cwd = directory.name if directory else None
        self.log = tempfile.TemporaryFile()
        self.began = time.perf_counter()
        with machine.on(cpu):
            self.process = subprocess.Popen(
                [str(word) for word in command], cwd=cwd, env=environment,
                # A pipe: a member notices its end, however this process ends.
                stdin=subprocess.PIPE, stdout=subprocess.PIPE if port is None else self.log, stderr=self.log,
            )
        try:
            if port is None:
                self.port = int(self.process.stdout.readline())
            self._await(ready)
        except BaseException:
            self.end()
            raise

    def _await(self, ready):
        end = time.monotonic() + PATIENCE
        while clients.status(self.port, ready) != 200:
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                sys.exit(f"{self.process.args[0]} doesn't answer: {self.log.read().decode(errors='replace')[-2000:]}")
            time.sleep(0.0002)
        self.ready_after = time.perf_counter() - self.began

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        # nginx's master ends its worker only when it is asked.
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for end in filter(None, (self.process.stdin, self.process.stdout)):
            end.close()
        self.log.close()
        if self.directory:
            self.directory.cleanup()

    def resident(self):
        """Bytes."""
        return machine.resident(self.process.pid)

    def processor_time(self):
        """Seconds so far by thread's name, also of its processes; threads of one name together. The kernel counts nanoseconds there."""
        spent = {}
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        children = (tasks / str(self.process.pid) / "children").read_text().split()
        for thread in [*tasks.iterdir(), *(pathlib.Path(f"/proc/{child}/task/{child}") for child in children)]:
            try:
                name, ran = (thread / "comm").read_text().strip(), int((thread / "schedstat").read_text().split()[0])
            except OSError:
                continue  # it ended by now
            spent[name] = spent.get(name, 0) + ran / 1e9
        return spent


def member(program, durability="crash", volume=None, more=(), environment=None):
    ports = free_ports(len(LISTENERS))
    directory = tempfile.TemporaryDirectory(prefix="random-generator-bench-")
    command = [program, "serve", "--durability", durability, "--data-dir", volume or pathlib.Path(directory.name, "volume")]
    command += ["--stop-with-parent", *more]
    for name, port in zip(LISTENERS, ports):
        command += [f"--{name}-listen", f"127.0.0.1:{port}"]
    return Server(command, ports[0], directory, ready="/readyz", environment=environment)


def bare(program):
    return Server([program], None)


NGINX = """
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            default_type application/json;
            return 200 '{{"random":-1170105035,"id":"8eeaabe5-4bdb-4df4-a1e7-1c90dc717793","version":"0.1.0"}}';
        }}
    }}
}}
"""


def nginx():
    """One worker that returns a constant, of the size and type of a number's answer."""
    [port] = free_ports(1)
    directory = tempfile.TemporaryDirectory(prefix="random-generator-bench-")
    pathlib.Path(directory.name, "nginx.conf").write_text(NGINX.format(port=port))
    return Server([TOOLS / "bin" / "nginx", "-e", "stderr", "-p", directory.name, "-c", "nginx.conf"], port, directory)


def podinfo():
    """Go's net/http behind gorilla/mux, as people run it; on one processor, which it is told."""
    [port] = free_ports(1)
    command = [TOOLS / "bin" / "podinfo", "--host", "127.0.0.1", "--port", port]
    return Server(command, port, tempfile.TemporaryDirectory(prefix="random-generator-bench-"), "/api/info", {"GOMAXPROCS": "1"})


def versions():
    """Of what members are compared with, and of what asks them."""
    said = []
    for name, command in (("nginx", [TOOLS / "bin" / "nginx", "-v"]), ("podinfo", [TOOLS / "bin" / "podinfo", "-v"]), ("wrk", ["wrk", "-v"])):
        try:
            text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
            said.append(f"{name} {re.search(r'[0-9]+[.][0-9.]+[0-9]', text).group()}")
        except (OSError, AttributeError):
            continue
    return ", ".join(said)
