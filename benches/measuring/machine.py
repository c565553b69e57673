"""The machine that everything is measured on: whether it is idle, what it is, and which processor is whose."""
import contextlib
import os
import pathlib
import platform
import re
import resource
import signal
import sys
import time

# The server has one processor, and whoever asks it the other.
SERVER, CLIENT = 0, 1
# More of all processors in use before anything is measured, and figures say little.
IDLE = 0.05


def prepare():
    """Puts this process on the client's processor, with those that it starts; servers are put on theirs. When it is asked to end,
    it ends them first."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("needs two processors: one for the server, one for whoever asks it")
    os.sched_setaffinity(0, {CLIENT})


@contextlib.contextmanager
def on(processors):
    """What this thread starts in the block begins there."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processors} if isinstance(processors, int) else processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def _spent():
    fields = [int(text) for text in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    # user nice system idle iowait irq softirq steal
    return sum(fields), fields[3] + fields[4]


def others(seconds=2.0):
    """The share of all processors that others use, while this program waits; other machines of the same host among them."""
    began = _spent()
    time.sleep(seconds)
    all_, idle = (now - then for now, then in zip(_spent(), began))
    return 1 - idle / all_


def warn_unless_idle():
    """Says so on standard error when others use the processors; the share."""
    share = others()
    if share > IDLE:
        print(f"this machine isn't idle: other work uses {share:.0%} of its processors. These figures will say little;"
              " measure again when it is quiet", file=sys.stderr, flush=True)
    return share


def resident(pid):
    """Bytes that the process has in memory."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    sys.exit(f"process {pid} has no memory")


def describe():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    virtual = "virtual " if "hypervisor" in pathlib.Path("/proc/cpuinfo").read_text() else ""
    kernel = platform.release().split("-")[0]
    return f"{os.cpu_count()} {virtual}processors ({model.group(1).strip() if model else platform.machine()}), Linux {kernel}"


def allow_files(count):
    """Raises the limit of open files to `count`, as far as that is allowed; the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        if hard < count:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
                return count
            except (ValueError, OSError):
                pass
        soft = min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
