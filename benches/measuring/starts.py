"""Start and memory of a member."""
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

from . import clients, machine, servers

STARTS = 20
IDLE_SECONDS = 30
CONNECTIONS = 10_000
MEMBERS = 3


def alone(program, rounds, progress):
    """Milliseconds from exec to ready, on a volume that was used before."""
    with tempfile.TemporaryDirectory(prefix="random-generator-bench-") as volume:
        for start in range(STARTS + 1):
            with servers.member(program, volume=volume) as member:
                if start:
                    progress(f"{member.ready_after * 1e3:.1f}")
                    yield member.ready_after * 1e3


class Cluster:
    """A set on this machine, ended at the end of the block."""

    def __init__(self, program, members=MEMBERS, more=(), schedule="@every 10s"):
        self.directory = tempfile.TemporaryDirectory(prefix="random-generator-bench-")
        self.members, self.base = members, free_base(members)
        command = [program, "cluster", "--members", members, "--base-port", self.base, "--data-dir", self.directory.name]
        command += ["--draw-schedule", schedule, *more]
        with machine.on({machine.SERVER, machine.CLIENT}):
            self.process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        try:
            self.until("a set that is ready", lambda: all(
                clients.status(self.port(n), "/readyz") == 200 for n in range(self.members)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(servers.PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.directory.cleanup()

    def until(self, what, condition, pause=0.05):
        end = time.monotonic() + servers.PATIENCE
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"waited in vain for {what}")
            time.sleep(pause)

    def port(self, n, listener=0):
        return self.base + 10 * n + listener

    def pid(self, n):
        return int(pathlib.Path(self.directory.name, f"rg-{n}.pid").read_text())

    def arguments(self, n):
        """What a member of it was started with."""
        return pathlib.Path(f"/proc/{self.pid(n)}/cmdline").read_text().split("\0")[2:-1]


def free_base(members):
    """Below the ports that the kernel gives to connections."""
    for base in range(12000, 30000, 500):
        try:
            for port in range(base, base + 10 * members):
                with socket.socket() as each:
                    each.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    sys.exit("no free ports")


def in_a_set(program, rounds, progress):
    """As `alone`, of a fourth member that joins a set of three: it asks their DNS, and follows their lease."""
    with Cluster(program) as cluster, tempfile.TemporaryDirectory(prefix="random-generator-bench-") as volume:
        arguments = cluster.arguments(0)
        arguments.remove("--stop-with-parent")
        own = ("--pod-name", "--data-dir", *(f"--{name}-listen" for name in servers.LISTENERS))
        common = [word for pair in zip(arguments[::2], arguments[1::2]) if pair[0] not in own for word in pair]
        for start in range(STARTS + 1):
            with servers.member(program, volume=volume, more=["--pod-name", "rg-3", *common]) as member:
                if start:
                    progress(f"{member.ready_after * 1e3:.1f}")
                    yield member.ready_after * 1e3


def idle_memory(program, rounds, progress):
    """Megabytes of each member."""
    with Cluster(program) as cluster:
        time.sleep(IDLE_SECONDS)
        return [machine.resident(cluster.pid(n)) / 1e6 for n in range(MEMBERS)]


def connections_memory(program, rounds, progress):
    """Megabytes of a member while they are open. Member and client need a file for each."""
    if machine.allow_files(CONNECTIONS + 200) < CONNECTIONS + 200:
        sys.exit(f"needs {CONNECTIONS + 200} open files: ulimit -n {CONNECTIONS + 200}")
    with servers.member(program) as member, clients.Idle(member.port) as idle:
        idle.open_until(CONNECTIONS)
        return [member.resident() / 1e6]
