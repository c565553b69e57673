"""The set of local.md, as processes on this machine."""
import json, os, pathlib, re, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.request

from checking.pages import STOP_LIMIT, Wrong, blocks_of

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE.parent
MEMBERS = 3
# The ports that the pages name: three members', those of another set, and of one more process.
PORTS = [8080 + 10 * n + k for n in range(2 * MEMBERS) for k in range(4)] + [9990, 9991, 9992, 9993]
WHOLE_LIMIT, VERIFY_LIMIT = 60, 60


def free_base():
    """All ports below the range that outgoing connections draw from, and as far apart as the pages have them."""
    for base in range(20080, 30000, 100):
        try:
            for port in PORTS:
                with socket.socket() as probe:
                    probe.bind(("0.0.0.0", base + (port - 8080 if port < 9000 else port - 9990 + 80)))
            return base
        except OSError:
            continue
    sys.exit("no free ports")


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def wait(what, seconds, condition, members):
    deadline, seen = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        if members.poll() is not None:
            raise Wrong(f"the set ended with {members.returncode} before {what}")
        try:
            if condition():
                return
        except (OSError, ValueError, KeyError) as error:
            seen = error
        time.sleep(0.1)
    raise Wrong(f"not within {seconds} s: {what} ({seen})")


def whole(urls, members, program):
    wait("every member is ready", WHOLE_LIMIT, lambda: all(get(url + "/readyz")["ready"] for url in urls), members)
    latest = lambda url: get(url + "/draws/latest")["round"]
    wait("a first draw", WHOLE_LIMIT, lambda: min(map(latest, urls)) >= 1, members)
    before = max(map(latest, urls))
    wait("the next draw", WHOLE_LIMIT, lambda: min(map(latest, urls)) > before, members)
    for command in ([program, "verify", urls[0]], [sys.executable, str(ROOT / "verify_draws.py"), urls[1]]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=VERIFY_LIMIT)


class Set:
    """Started once for all pages."""

    def __init__(self):
        profile = os.environ.get("PROFILE", "dev")
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
        self.program = target / {"dev": "debug"}.get(profile, profile) / "random-generator"
        if not self.program.exists():
            sys.exit(f"{self.program} isn't there: build it first (cargo build)")
        base, self.directory = free_base(), tempfile.mkdtemp(prefix="random-generator-workshop-")
        self.ports = {port: base + (port - 8080 if port < 9000 else port - 9990 + 80) for port in PORTS}
        self.urls = [f"http://localhost:{base + 10 * n}" for n in range(MEMBERS)]
        self.environment = os.environ | {"PATH": f"{self.program.parent}:{os.environ['PATH']}", "CLONE": str(ROOT)}
        self.environment.setdefault("BUG", "0")
        (start,) = blocks_of(HERE / "local.md", "start")
        print(f"$ {start.strip()}   (in {self.directory}, ports from {base})", flush=True)
        self.members = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", start], cwd=self.directory,
            env=self.environment | {"RANDOM_GENERATOR_BASE_PORT": str(base)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
        )

    def prepare(self, _page):
        pass

    def begin(self, page):
        """Returns the environment of the page's shell."""
        self.end(page)
        return self.environment

    def end(self, _page):
        whole(self.urls, self.members, self.program)

    def mend(self):
        return False

    def here(self, text):
        return self.translate(text, self.ports)

    def shown(self, text):
        return self.translate(text, {here: port for port, here in self.ports.items()})

    @staticmethod
    def translate(text, table):
        return re.sub(r"\b\d{4,5}\b", lambda m: str(table.get(int(m[0]), m[0])), text)

    def close(self, failed):
        if self.members.poll() is None:
            # As ^C does: to the whole foreground group.
            os.killpg(self.members.pid, signal.SIGINT)
            try:
                self.members.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(self.members.pid, signal.SIGKILL)
                failed.append("the set, which didn't end after ^C")
        if failed:
            print(f"the set's volumes and logs are in {self.directory}")
        else:
            shutil.rmtree(self.directory)
