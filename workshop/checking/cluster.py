"""A set for each page on the cluster of KUBECONFIG, in a namespace of its own. As on kind, but for what a stand-in for docker does."""
import json, os, pathlib, re, shutil, socket, subprocess, sys, tempfile, threading, time

from checking.pages import Wrong, blocks_of

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE.parent
MEMBERS, CONTROL_PLANE = 3, "random-generator-control-plane"
COMMAND_LIMIT, START_LIMIT, WHOLE_LIMIT, GONE_LIMIT = 60, 300, 180, 180

# What a page has docker do to kind's nodes, which are containers.
DOCKER = f"""#!/usr/bin/env bash
# Stands in for docker: breaks the cluster's machines by the command FAULT, and notes in UNDO what mends them.
set -euo pipefail
begin() {{ echo "$1" >>"$UNDO"; shift; "$FAULT" "$@"; }}
end() {{ "$FAULT" $1; grep -vxF "$1" "$UNDO" >"$UNDO.new" || true; mv "$UNDO.new" "$UNDO"; }}
case "$*" in
  "network disconnect kind "*) begin "heal ${{4##*-}}" cut "${{4##*-}}" ;;
  "network connect kind "*) end "heal ${{4##*-}}" ;;
  "pause {CONTROL_PLANE}") begin thaw-api freeze-api ;;
  "unpause {CONTROL_PLANE}") end thaw-api ;;
  *) echo "unexpected: docker $*" >&2; exit 64 ;;
esac
"""


class Cluster:
    def __init__(self, image):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="random-generator-workshop-"))
        self.directory = self.folder / "files"
        self.copy_manifests(image)
        # Over WebSockets `kubectl exec` now and then loses what a command prints: "Unknown stream id 1, discarding message".
        self.environment = os.environ | {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
        self.undo = self.folder / "undo"
        self.undo.touch()
        if fault := os.environ.get("FAULT"):
            docker = self.folder / "bin/docker"
            docker.parent.mkdir()
            docker.write_text(DOCKER)
            docker.chmod(0o755)
            # Pages run elsewhere.
            self.environment |= {"FAULT": os.path.abspath(fault), "UNDO": str(self.undo), "PATH": f"{docker.parent}:{os.environ['PATH']}"}
        self.started, self.used = {}, []
        self.kubectl("version")

    def copy_manifests(self, image):
        """What pages apply, with the image under test in place of the one that they have the reader build."""
        name, _, tag = image.rpartition(":")
        for source in ("k8s", "workshop"):
            shutil.copytree(ROOT / source, self.folder / "files" / source)
        for kustomization in (self.folder / "files/workshop").glob("*/kustomization.yaml"):
            text = kustomization.read_text()
            kustomization.write_text(text.replace("newTag: workshop", f"newName: {name}\n    newTag: \"{tag}\""))
        self.image = image

    def kubectl(self, *arguments, namespace=None, check=True, limit=COMMAND_LIMIT):
        command = ["kubectl", *(["--namespace", namespace] if namespace else []), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=limit)
        if check and done.returncode:
            raise Wrong(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def prepare(self, page):
        """A namespace for the page and the set that it begins with, in the background."""
        namespace = f"workshop-{re.sub('[^a-z0-9]+', '-', page.stem)}"
        if page in self.started:
            return
        kubeconfig = self.folder / f"{namespace}.kubeconfig"
        shutil.copy(os.environ["KUBECONFIG"], kubeconfig)
        environment = self.environment | {"KUBECONFIG": str(kubeconfig)}
        # One that went wrong before may have left its namespace.
        script = "kubectl delete namespace workshop --ignore-not-found\n" + "".join(blocks_of(HERE / "cluster.md", "namespace"))
        if "](cluster.md#the-set)" in page.read_text():
            script += "".join(blocks_of(HERE / "cluster.md", "set"))
        here = lambda text: re.sub(r"(?<=namespace )workshop\b|(?<=\.)workshop(?=\.svc)", namespace, text)
        self.used.append(namespace)
        start = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", here(script)], cwd=self.folder / "files", env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        self.started[page] = (namespace, environment, start)

    def begin(self, page):
        self.prepare(page)
        self.namespace, environment, start = self.started[page]
        try:
            printed, _ = start.communicate(timeout=START_LIMIT)
        except subprocess.TimeoutExpired:
            start.kill()
            raise Wrong(f"the set of {self.namespace} did not start within {START_LIMIT} s") from None
        if start.returncode:
            raise Wrong(f"starting the set of {self.namespace}:\n{printed}")
        if "](cluster.md#the-set)" in page.read_text():
            self.wait("a second draw", lambda: len(self.draws().splitlines()) >= 2, lambda: "")
        if "kubectl drain" in page.read_text():
            # A drain evicts Pods of every namespace.
            for other in self.used:
                if other != self.namespace:
                    self.kubectl("delete", "namespace", other, "--ignore-not-found", limit=GONE_LIMIT)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        return environment

    def here(self, text):
        text = re.sub(r"(?<=namespace )workshop\b|(?<=\.)workshop(?=\.svc)", self.namespace, text)
        return text.replace("18080", self.port).replace("random-generator:workshop", self.image)

    def shown(self, text):
        return text.replace(self.namespace, "workshop").replace(self.port, "18080").replace(self.image, "random-generator:workshop")

    def names(self, kinds):
        listed = self.kubectl("get", kinds, "--output", "name", namespace=self.namespace)
        return sorted(name.split("/")[1] for name in listed.split())

    def end(self, _page):
        """The way back leads to what was there before: the set, and nothing else; and every node serves."""
        members = [f"rg-{n}" for n in range(MEMBERS)]
        self.wait("only the set's Pods", lambda: self.names("pods") == members, lambda: self.names("pods"))
        self.wait("only the set's claims", lambda: self.names("pvc") == [f"logs-{name}" for name in members], lambda: self.names("pvc"))
        self.wait("only the set's workload", lambda: self.names("deployments,replicasets,jobs") == [] and self.names("statefulsets") == ["rg"], lambda: "")
        nodes = lambda: json.loads(self.kubectl("get", "nodes", "--output", "json"))["items"]
        serves = lambda node: not node["spec"].get("taints") and not node["spec"].get("unschedulable")
        self.wait("every node serves", lambda: all(map(serves, nodes())), lambda: "")
        ready = lambda: self.kubectl("get", "statefulset/rg", "--output", "jsonpath={.status.readyReplicas}", namespace=self.namespace)
        self.wait("three members are ready", lambda: ready() == str(MEMBERS), ready)
        before = len(self.draws().splitlines())
        self.wait("draws go on", lambda: len(self.draws().splitlines()) > before, lambda: before)
        verify = [sys.executable, str(ROOT / "verify_draws.py"), "-"]
        done = subprocess.run(verify, input=self.draws(), capture_output=True, text=True, timeout=COMMAND_LIMIT)
        if done.returncode:
            raise Wrong(f"the chain doesn't verify: {done.stderr}")
        self.delete(self.namespace)

    def draws(self):
        return self.kubectl("get", "--raw", f"/api/v1/namespaces/{self.namespace}/pods/rg-1:8080/proxy/draws?format=jsonl")

    def wait(self, what, condition, seen):
        deadline, trouble = time.monotonic() + WHOLE_LIMIT, ""
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
                trouble = seen()
            except (Wrong, ValueError, subprocess.TimeoutExpired) as error:
                trouble = error
            time.sleep(1)
        raise Wrong(f"not within {WHOLE_LIMIT} s: {what} ({trouble})")

    def delete(self, namespace):
        self.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false", check=False)

    def mend(self):
        """Undoes what pages did to the cluster's machines; each page has a set of its own, so others can go on."""
        for line in reversed(self.undo.read_text().splitlines()):
            subprocess.run([self.environment["FAULT"], *line.split()], timeout=COMMAND_LIMIT)
        self.undo.write_text("")
        for node in json.loads(self.kubectl("get", "nodes", "--output", "json"))["items"]:
            if node["spec"].get("unschedulable"):
                self.kubectl("uncordon", node["metadata"]["name"])
        return True

    def close(self, failed):
        for page, (_, _, start) in self.started.items():
            if start.poll() is None:
                start.kill()
        self.mend()
        if failed:
            print(f"what the pages left is in the namespaces {', '.join(self.used)} and in {self.folder}")
            return
        for namespace in self.used:
            self.kubectl("delete", "namespace", namespace, "--ignore-not-found", check=False, limit=GONE_LIMIT)
        shutil.rmtree(self.folder)
