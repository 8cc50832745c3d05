"""The scripted upstream in its own process, told what to do line by line."""

import json
import os
import pathlib
import subprocess
import time

from process import end


class Upstream:
    """Starts on construction; `stop` ends it."""

    def __init__(self):
        own = pathlib.Path(os.environ["LLM_ROUTER_BIN"]).with_name("llm-router-testnet")
        binary = os.environ.get("LLM_ROUTER_TESTNET_BIN", str(own))
        self.process = subprocess.Popen(
            [binary, "upstream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = json.loads(self.process.stdout.readline())["url"]

    def order(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def heal(self):
        self.order("heal")
        for option in ("latency_ms", "first_token_ms"):
            self.order(f"option {option} 0")
        self.order("option tokens_per_second 1000000")

    def eventually(self, what, seconds):
        """Waits until `what(stats)` holds; the time that took."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if what(self.order("stats")):
                return time.monotonic() - began
            time.sleep(0.01)
        raise AssertionError(f"not within {seconds} s; {self.order('stats')}")

    def stop(self):
        end(self.process)


KEY = "sk-of-the-testnet"
DIALECTS = ("openai", "azure", "anthropic", "gemini", "ollama")
# the upstream echoes under a name it does not know; its errors must not be held against
# `echo`, nor those of one kind against the model of another
MODELS = ("echo", "tools", "parallel", "thinking", "broken", "cut", "limited")


def wires(upstream, dialects=DIALECTS):
    """A node's configuration: every scripted model over every dialect, as `dialect-model`."""
    lines = ["models:"]
    for dialect in dialects:
        for model in MODELS:
            provider, base, options = {
                "openai": ("openai", f"{upstream.url}/v1", ""),
                "azure": (
                    "openai",
                    f"{upstream.url}/openai/deployments/{model}",
                    'options: { api_version: "2024-10-21", auth: api-key }, ',
                ),
                "responses": ("openai", f"{upstream.url}/v1", "options: { responses: true }, "),
                "anthropic": ("anthropic", f"{upstream.url}/v1", ""),
                "gemini": ("gemini", f"{upstream.url}/v1beta", ""),
                "ollama": ("ollama", upstream.url, ""),
            }[dialect]
            lines.append(
                f"  {dialect}-{model}: {{ provider: {provider}, model: {model}, "
                f'base_url: "{base}", {options}api_key: {KEY} }}'
            )
    lines.append("cache: { enabled: false }")
    lines.append("retry: { max_attempts: 1 }")
    lines.append("circuit_breaker: { failure_threshold: 1000 }")
    return "\n".join(lines) + "\n"


def leave_in_every_phase(test, upstream, ask, stream):
    """A client leaves: before the first byte of a stream, at its first piece, in its middle, and
    while it waits for a whole answer. `ask(timeout)` asks for a whole answer and raises when the time
    is up; `stream(timeout)` gives a stream's pieces, and what closes it. The upstream has to hear of
    each within a second."""
    for phase, pieces_read in (
        ("before the first byte", 0),
        ("at the first piece", 1),
        ("in the middle", 5),
        ("a whole answer", None),
    ):
        with test.subTest(phase=phase):
            upstream.heal()
            before = upstream.order("stats")["aborted"]
            gone = lambda stats: stats["aborted"] == before + 1 and stats["in_flight"] == 0
            if pieces_read:
                upstream.order("option tokens_per_second 5")
                pieces, close = stream(30)
                for _ in range(pieces_read):
                    next(pieces)
                close()
            else:
                upstream.order("option latency_ms 30000")
                with test.assertRaises(Exception):
                    if pieces_read is None:
                        ask(0.5)
                    else:
                        pieces, _ = stream(0.5)
                        next(pieces)
            upstream.eventually(gone, 1.0)
    upstream.heal()
