"""One node for the tests: the real binary, built-in models, free ports, a folder of its own."""

import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.request

CONFIG = """
models:
  echo: { provider: demo, model: echo }
  tools: { provider: demo, model: tools }
  slow: { provider: demo, model: echo, options: { latency_ms: 20000 } }
  limited: { provider: demo, model: flaky, options: { fail_rate: 1, status: 429, retry_after_s: 1 } }
  limited-once: { provider: demo, model: flaky, options: { fail_first: 1, status: 429, retry_after_s: 1 } }
  rejecting: { provider: demo, model: flaky, options: { fail_rate: 1, status: 422 } }
  broken: { provider: demo, model: flaky, options: { fail_rate: 1, status: 500 } }
  cut: { provider: demo, model: flaky, options: { fail_rate: 1, cut_after_tokens: 2 } }
routes:
  - { name: safe, targets: [broken], fallback: [echo] }
circuit_breaker: { failure_threshold: 1000 }
retry: { max_attempts: 1 }
"""

START_SECONDS = 30


def fetched_weights():
    """The folder with the embedder's weights in it; `None` where they were not fetched."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    models = pathlib.Path(os.environ.get("LLM_ROUTER_MODELS") or cache / "llm-router" / "models")
    return models if (models / "all-MiniLM-L6-v2" / "model.safetensors").exists() else None


class Node:
    """Starts on construction; `stop` ends it. Without a folder of `weights` it has no embedder."""

    def __init__(self, config=CONFIG, weights=None):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        (folder / "config.yaml").write_text(config)
        (folder / "no-weights").mkdir()
        self.log = open(folder / "stderr.log", "w+")
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_")) and name.lower() not in ("http_proxy", "all_proxy")
        }
        environment["LLM_ROUTER_MODELS"] = str(weights or folder / "no-weights")
        addresses = folder / "addresses.json"
        self.process = subprocess.Popen(
            [
                os.environ["LLM_ROUTER_BIN"], "serve",
                "-c", str(folder / "config.yaml"),
                "--data", str(folder / "data"),
                "--http", "127.0.0.1:0",
                "--grpc", "127.0.0.1:0",
                "--cluster", "127.0.0.1:0",
                "--addr-file", str(addresses),
            ],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=self.log,
        )
        try:
            self._wait_ready(addresses)
        except Exception:
            self.stop()
            raise

    def _wait_ready(self, addresses):
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"the node ended with {self.process.returncode}:\n{self.stderr()}")
            try:
                given = json.loads(addresses.read_text())
                self.http, self.grpc, self.cluster = (given[door] for door in ("http", "grpc", "cluster"))
                self.get("/ready")
                return
            except (OSError, ValueError, KeyError):
                time.sleep(0.02)
        raise RuntimeError(f"the node is not ready:\n{self.stderr()}")

    def stderr(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text()

    def get(self, path):
        """JSON where the answer is JSON, else its text."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.http}{path}", timeout=10) as response:
            text = response.read().decode()
        try:
            return json.loads(text)
        except ValueError:
            return text

    def failures(self, model):
        """Attempts on a model that failed so far."""
        return self.get("/admin/v1/models")[model]["failures"]

    def total_requests(self):
        return self.get("/admin/v1/stats")["total_requests"]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.folder.cleanup()
