"""What grows, and with what: each returns curves."""
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request

from . import clients, machine, servers, starts
from .curves import Curve

VOTERS = [3, 5, 9, 16, 32]
MEMBERS = [32, 64, 128, 300]
PROCESSES = [3, 5, 9]
CONNECTIONS = [1, 10, 100, 1_000, 10_000]
# Of a window, and the least that a journal may have: it is full within seconds.
WINDOW, JOURNAL = 5, "2MiB"
SHORT, HOUR = 120, 3_600
# A million records for a thousand: 1.3 times as much, and not more, for what should stay the same.
RECORDS_TOLERANCE = 0.04


# Of the lines of benches/verify.rs: what is proportional by its nature, and what is no cost.
PROPORTIONAL, NO_COST = {"seconds"}, {"records", "records_per_second", "processors"}


def json_lines(command, check=True, **variables):
    """What a program prints between its other lines."""
    command = [os.environ.get("CARGO", "cargo"), *command]
    with machine.on({machine.SERVER, machine.CLIENT}):
        said = subprocess.run(
            command, cwd=servers.ROOT, env={**os.environ, **variables}, check=check, stdout=subprocess.PIPE, text=True).stdout
    # A test's name may stand before its first line.
    return [json.loads(line[line.index("{"):]) for line in said.splitlines() if line.endswith("}")]


def members(programs, progress):
    """Simulated by the code of members themselves: a draw's messages and bytes, and the requests at the lease store."""
    sizes = VOTERS + MEMBERS[1:]
    command = ["--config", "profile.dev.opt-level=1", "test", "--test", "simulation", "--", "--nocapture", "what_a_set_sends"]
    lines = json_lines(command, RANDOM_GENERATOR_SIZES=",".join(map(str, sizes)))
    by_size = {int(line["members"]): line for line in lines}

    def points(key, sizes):
        return [(size, by_size[size][key]) for size in sizes]

    others = [(size - 1, by_size[size]["messages"]) for size in sizes]
    return [
        Curve("questions of a draw", "other members", "", 1, 0.02, others),
        Curve("requests at the lease store", "members", "a second", 1, 0.1, points("requests_per_second", sizes)),
        # Each of n members gets the newest record, with what n members gave.
        Curve("bytes of a draw, all vote", "members", "", 2, 0.05, points("bytes", VOTERS)),
        Curve("bytes of a draw, 32 vote", "members", "", 1, 0.05, points("bytes", MEMBERS)),
    ]


def metric(port, name):
    """The sum of a metric's samples; `name` may have labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(name, line))


def processes(programs, progress):
    """Real members on this machine: questions of a draw, memory and processor time of a member."""
    questions, memory, spent = [], [], []
    for size in PROCESSES:
        with starts.Cluster(programs[0], size, schedule="@every 2s") as cluster:
            def total(name):
                return sum(metric(cluster.port(n, 3), name) for n in range(size))
            asked = r'random_generator_http_requests_total\{.*listener="peer".*route="/v1/keep"'

            def counts():
                return total("random_generator_draw_slots_total.*drawn"), total(asked), total("random_generator_process_cpu_seconds_total"), time.monotonic()
            cluster.until("draws", lambda: counts()[0] >= 2)
            before = counts()
            cluster.until("draws", lambda: counts()[0] >= before[0] + 8, pause=1)
            after = counts()
            draws, asks, cpu, seconds = (now - then for now, then in zip(after, before))
            questions.append((size - 1, asks / draws))
            memory.append((size, statistics.median(machine.resident(cluster.pid(n)) / 1e6 for n in range(size))))
            spent.append((size, cpu / seconds / size * 1e3))
            progress(f"{size} members: {asks / draws:.1f} questions a draw")
    return [
        # A slot's questions may be counted with the draw before.
        Curve("questions of a draw, real members", "other members", "", 1, 0.15, questions),
        Curve("memory of a member", "members", "MB", 0, 0.1, memory),
        Curve("processor time of a member", "members", "ms a second", 1, 0.1, spent),
    ]


def connections(programs, progress):
    """Memory, and how long another client waits, while so many others only stay open."""
    needs = CONNECTIONS[-1] + 200
    most = machine.allow_files(needs)
    sizes = [size for size in CONNECTIONS if size + 200 <= most]
    if len(sizes) < len(CONNECTIONS):
        print(f"only {sizes[-1]} connections: for all, ulimit -n {needs}", file=sys.stderr)
    memory, slow = [], []
    with servers.member(programs[0]) as member, clients.Idle(member.port) as idle:
        clients.wrk(member.port, "/", 1)
        base = member.resident()
        for size in sizes:
            idle.open_until(size)
            waits = [clients.wrk(member.port, "/", 2, connections=4)[1] for _ in range(3)]
            memory.append((size, (member.resident() - base) / 1e6))
            slow.append((size, statistics.median(waits) * 1e3))
            progress(f"{size} connections: {member.resident() / 1e6:.1f} MB, p99 {slow[-1][1]:.2f} ms")
    return [
        # Of a few connections it is lost in what the allocator holds anyway.
        Curve("memory of idle connections", "connections", "MB", 1, 0.1, [point for point in memory if point[0] >= 100]),
        Curve("p99 of another client", "idle connections", "ms", 0, 0.1, slow),
    ]


def journal(programs, progress):
    """An answer and its p99 over a bare handler's, in each window of a load, with a journal at its limit: old entries make room for new ones."""
    seconds = HOUR if os.environ.get("HOUR") == "1" else SHORT
    rate, slow = [], []
    with servers.member(programs[0], more=["--journal-max", JOURNAL]) as member, servers.bare(programs[1]) as bare:
        # Until it is full.
        clients.wrk(member.port, "/", WINDOW)
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            ours, theirs = clients.wrk(member.port, "/", WINDOW), clients.wrk(bare.port, "/", WINDOW)
            at = time.monotonic() - began
            rate.append((at, theirs[0] / ours[0]))
            slow.append((at, ours[1] / theirs[1]))
            if len(rate) % 6 == 0:
                progress(f"{at:.0f} s: {ours[0]:.0f}/s, p99 {ours[1] * 1e3:.1f} ms")
    # At the end at most 1.2 and 1.5 times as much as at the beginning.
    span = seconds / (2 * WINDOW)
    return [
        Curve("an answer, journal full", "seconds", "× bare", 0, round(math.log(1.2, span), 3), rate, None),
        Curve("p99, journal full", "seconds", "× bare", 0, round(math.log(1.5, span), 3), slow, None),
    ]


def records(programs, progress):
    """What benches/ledger.rs and benches/verify.rs print, which have floors of their own: lines such as {"records": 1000, "open, ms": 3.1}."""
    curves = {}
    for bench in ("ledger", "verify"):
        if not (servers.ROOT / "benches" / f"{bench}.rs").exists():
            progress(f"there is no benches/{bench}.rs")
            continue
        for line in json_lines(["bench", "--bench", bench], check=False):
            for key, value in line.items():
                if key not in NO_COST and isinstance(value, (int, float)):
                    name, _, unit = key.partition(", ")
                    nature = 1 if key in PROPORTIONAL else 0
                    new = Curve(f"{bench}: {name}", "records", unit, nature, RECORDS_TOLERANCE, [])
                    curves.setdefault((bench, key), new).points.append((line["records"], value))
    return list(curves.values())


ALL = {"members": members, "processes": processes, "connections": connections, "journal": journal, "records": records}
