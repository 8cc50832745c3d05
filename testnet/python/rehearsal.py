"""Begins the cluster of the manifests on loopback: their command lines and config, other ports and folders."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import yaml

PATIENCE_SECONDS = 60
PROGRAM = "/usr/local/bin/llm-router"
DOORS = {"http": 8080, "grpc": 50051, "cluster": 7400}
MODELS = """
models: { gpt: { provider: demo, model: echo } }
routes: [{ name: all, targets: [gpt] }]
"""


class Wrong(Exception):
    """What did not come about."""


def run(binary, objects):
    """Problems, none when the cluster of the manifests works as its comments say."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(binary, objects, pathlib.Path(folder))
        try:
            stage.configs()
            stage.flags()
            stage.rehearse()
        except (Wrong, subprocess.SubprocessError, OSError) as wrong:
            return [f"rehearsal: {wrong}", *stage.last_words()]
        finally:
            stage.end()
    return []


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def node_of(pod):
    [node] = [each for each in pod["containers"] if "serve" in each.get("command", [])]
    return node


class Stage:
    """A folder, ports, and the nodes that run."""

    def __init__(self, binary, objects, folder):
        self.binary, self.objects, self.folder = binary, objects, folder
        self.set = objects["StatefulSet", "llm-router"]["spec"]
        count = self.set["replicas"]
        ports = free_ports(3 * count)
        self.ports = [dict(zip(DOORS, ports[3 * n : 3 * n + 3])) for n in range(count)]
        self.running = []
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("LLM_ROUTER_")}

    def call(self, *arguments, code=0):
        done = subprocess.run(
            [self.binary, *arguments], capture_output=True, text=True, timeout=30, env=self.environment, cwd=self.folder
        )
        if done.returncode != code:
            raise Wrong(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def configs(self):
        """Every config in a ConfigMap is in order."""
        for (kind, name), (_, each) in self.objects.all.items():
            if kind == "ConfigMap":
                file = self.folder / f"{name}.yaml"
                file.write_text(each["data"]["llm-router.yaml"])
                self.call("validate", str(file))

    def flags(self):
        """Every command line of ours is one that the program takes."""
        for path, _, pod in self.objects.pods():
            for each in pod.get("initContainers", []) + pod["containers"]:
                probes = [each.get(name, {}).get("exec", {}) for name in ("startupProbe", "readinessProbe", "livenessProbe")]
                for command in [each.get("command"), *(probe.get("command") for probe in probes)]:
                    if command and command[0] == PROGRAM:
                        self.call(*command[1:], "--help")

    def place(self, text, n):
        """Where on this machine the manifests' places are, for the node of this number."""
        text = text.replace("$(POD_NAME)", f"llm-router-{n}")
        for other, ports in enumerate(self.ports):
            text = text.replace(f"llm-router-{other}.llm-router-peers:7400", f"127.0.0.1:{ports['cluster']}")
        for door, port in DOORS.items():
            text = re.sub(rf"\b(0\.0\.0\.0|127\.0\.0\.1):{port}\b", rf"\1:{self.ports[n][door]}", text)
        text = text.replace("/etc/llm-router/config/llm-router.yaml", str(self.folder / f"{n}.yaml"))
        text = text.replace("/etc/llm-router/certs", str(self.folder / "certs"))
        return text.replace("/var/lib/llm-router", str(self.folder / f"data-{n}"))

    def write_config(self, n):
        node = yaml.safe_load(self.objects["ConfigMap", "llm-router"]["data"]["llm-router.yaml"])
        routing = yaml.safe_load(MODELS)
        text = yaml.safe_dump({**node, **routing})
        (self.folder / f"{n}.yaml").write_text(self.place(text, n))

    def start(self, node, n):
        log = open(self.folder / f"node-{n}.log", "a")
        command = [self.binary, *(self.place(part, n) for part in node["command"][1:])]
        said = {each["name"]: self.place(each["value"], n) for each in node["env"] if "value" in each}
        environment = {**self.environment, **said}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self.folder)
        self.running.append(process)
        return process

    def get(self, n, path, key=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[n]['http']}{path}")
        if key:
            request.add_header("authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def until(self, what, holds):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise Wrong(f"{what} did not come about within {PATIENCE_SECONDS} s")
            for process in self.running:
                if process.poll() is not None:
                    raise Wrong(f"a node ended with {process.returncode} before {what}")
            time.sleep(0.1)

    def stop(self, process):
        self.running.remove(process)
        process.send_signal(signal.SIGTERM)
        if process.wait(timeout=30) != 0:
            raise Wrong(f"a node that was told to end ended with {process.returncode}")

    def rehearse(self):
        """begin.yaml, its key, its end; then all nodes of the set at once, with the paths of their probes."""
        names = [f"llm-router-{n}" for n in range(len(self.ports))]
        self.call("certs", "create", *(part for name in names for part in ("--node", name)))
        for n in range(len(names)):
            self.write_config(n)
        begin = self.start(node_of(self.objects["Pod", "llm-router-begin"]["spec"]), 0)
        self.until("the first node answers", lambda: self.get(0, "/ready"))
        address = f"http://127.0.0.1:{self.ports[0]['http']}"
        key = self.call("keys", "create", "--name", "ops", "--addr", address).strip()
        self.stop(begin)
        node = node_of(self.set["template"]["spec"])
        for n in range(len(names)):
            self.start(node, n)
        probes = {node[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
        for n, path in ((n, path) for n in range(len(names)) for path in sorted(probes)):
            self.until(f"{path} of node {n}", lambda n=n, path=path: self.get(n, path))

        def formed():
            status = self.get(1, "/admin/v1/cluster", key) or {"nodes": []}
            voting = sorted(each["id"] for each in status["nodes"] if each["role"] in ("voter", "leader"))
            return voting == names

        self.until("all nodes vote", formed)
        if self.get(2, "/v1/models") is not None:
            raise Wrong("a node answers callers without a key")
        for process in list(self.running):
            self.stop(process)
        for n in range(len(names)):
            if not (self.folder / f"data-{n}" / "data" / "cluster").is_dir():
                raise Wrong("a node kept its data elsewhere than on its volume")

    def last_words(self):
        return [line for log in sorted(self.folder.glob("node-*.log")) for line in log.read_text().splitlines()[-3:]]

    def end(self):
        for process in self.running:
            process.kill()
            process.wait()
