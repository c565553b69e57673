"""The form of a page, and how its blocks are run in one shell and compared."""
import contextlib, os, queue, re, signal, subprocess, threading, time

BLOCK = re.compile(r"^```(sh (?:step|repeat|back)|text see)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = ["You will understand", "Before you begin", "Steps", "What it shows", "The way back"]
STOP_LIMIT = 20
# In seconds: one block that is run once, and one that is repeated.
LIMITS = {"your machine": (60, 60), "Kubernetes": (240, 180)}


class Wrong(Exception):
    pass


class Shell:
    """One bash for all blocks of a page, because a reader's variables stay as well."""

    def __init__(self, directory, environment, limit):
        self.limit = limit
        self.bash = subprocess.Popen(
            ["bash"], cwd=directory, env=environment, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.bash.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def run(self, script):
        end = f"end-{os.urandom(8).hex()}"
        self.bash.stdin.write(f"{script}\nprintf '\\n%s %s\\n' {end} $?\n")
        self.bash.stdin.flush()
        printed, deadline = [], time.monotonic() + self.limit
        while True:
            try:
                line = self.lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise Wrong(f"it did not end within {self.limit} s") from None
            if line is None:
                raise Wrong("the shell ended")
            if line.startswith(end):
                return int(line.split()[1]), "".join(printed).rstrip("\n")
            printed.append(line)

    def close(self):
        self.bash.stdin.close()
        try:
            self.bash.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            pass
        # What a page that went wrong has left running.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.bash.pid, signal.SIGKILL)


def pattern(text):
    """What a `see` block allows. How many spaces separate columns depends on their widest value."""
    lines = []
    for line in text.rstrip("\n").split("\n"):
        if line == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            words = [".*".join(map(re.escape, word.split("…"))) for word in line.split()]
            lines.append(r" *" + " +".join(words) + r" *\n")
    return re.compile("".join(lines))


def matches(text, printed):
    return pattern(text).fullmatch(re.sub(r"[ \t]+", " ", printed) + "\n") is not None


def damaged(text):
    """The same with another longest word: what was printed must not match that, or the block could not fail."""
    words = [word for word in re.findall(r"[^\s…]+", text)]
    if not words:
        raise Wrong("it would accept any output")
    longest = max(words, key=len)
    return text.replace(longest, longest[::-1] + "?")


def blocks_of(page, kind):
    """The scripts of a page's ```sh KIND blocks."""
    found = re.findall(rf"^```sh {kind}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    if not found:
        raise Wrong(f"{page.name} has no ```sh {kind} block")
    return found


def place(page):
    """Where a page's commands are run."""
    found = re.search(r"^Time: (\d+) minutes\. Runs on: (your machine|Kubernetes)\.$", page.read_text(), re.MULTILINE)
    if not found or not 10 <= int(found[1]) <= 20:
        raise Wrong("it doesn't say `Time: N minutes. Runs on: your machine.` (or `Kubernetes`), with 10 to 20")
    return found[2]


def exercise(page):
    text = page.read_text()
    found = re.findall(r"^## (.+)$", text, re.MULTILINE)
    if found != SECTIONS:
        raise Wrong(f"its sections are {found}, not {SECTIONS}")
    place(page)
    if not re.search(r"<summary>Predict before you run it: .+</summary>", text):
        raise Wrong("it asks for no prediction")
    blocks = [(kind, body, text[: start].count("\n") + 1) for kind, body, start in
              ((m[1], m[2], m.start()) for m in BLOCK.finditer(text))]
    if not any(kind == "sh back" for kind, _, _ in blocks):
        raise Wrong("it has no way back")
    steps = []
    for kind, body, line in blocks:
        if kind != "text see":
            steps.append([kind, body, line, None])
        elif not steps or steps[-1][3]:
            raise Wrong(f"line {line}: no command is above it")
        else:
            steps[-1][3] = body
    lines = text.splitlines()
    for kind, _, line, see in steps:
        # What kind of block it is, no page shows.
        if kind == "sh repeat" and not (see and "epeat" in "".join(lines[max(0, line - 3) : line - 1])):
            raise Wrong(f"line {line}: it doesn't say above and below until when to repeat it")
    return steps


def work_through(page, shell, here, shown):
    repeat_limit = LIMITS[place(page)][1]
    for kind, body, line, see in exercise(page):
        print("".join(f"    $ {text}\n" for text in body.strip().splitlines()), end="", flush=True)
        deadline = time.monotonic() + (repeat_limit if kind == "sh repeat" else 0)
        while True:
            status, printed = shell.run(here(body))
            printed = shown(printed)
            right = see is None or matches(see, printed)
            if right or time.monotonic() >= deadline:
                break
            time.sleep(1)
        print("".join(f"      {text}\n" for text in printed.splitlines()), end="", flush=True)
        if not right:
            raise Wrong(f"line {line}: that printed\n{printed}\nand the page says\n{see}")
        if status and kind != "sh repeat":
            raise Wrong(f"line {line}: that ended with {status}")
        if see and matches(damaged(see), printed):
            raise Wrong(f"line {line}: what one should see could not fail")
