"""The official JavaScript clients, run by `testnet/npm/sdk.mjs` against a node of ours."""

import json
import math
import os
import shutil
import subprocess
import unittest

from process import end
from wired import Wires

MODULES = os.environ.get("LLM_ROUTER_NPM", "")
TEXT = "one two three"


class Script:
    """One client in a process of its own; ends with `stop`."""

    def __init__(self, sdk, url):
        self.process = subprocess.Popen(
            ["node", os.path.join(MODULES, "sdk.mjs"), sdk, url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=MODULES,
        )

    def run(self, check, model):
        self.process.stdin.write(json.dumps({"check": check, "model": model}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the script ended during `{check}` with {self.process.wait(5)}")
        return json.loads(line)

    def stop(self):
        end(self.process)


@unittest.skipUnless(MODULES and shutil.which("node"), "the npm packages are not installed")
class Npm(Wires):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.scripts = {}
        for sdk in ("openai", "anthropic"):
            cls.scripts[sdk] = Script(sdk, f"http://{cls.node.http}")
            cls.addClassCleanup(cls.scripts[sdk].stop)

    def run_check(self, sdk, check, model):
        return self.scripts[sdk].run(check, model)

    def both_over(self, kind):
        for sdk in self.scripts:
            for model in self.over(kind):
                yield sdk, model

    def test_a_chat_and_a_stream(self):
        for sdk, model in self.both_over("echo"):
            with self.subTest(sdk=sdk, over=model):
                end = {"openai": "stop", "anthropic": "end_turn"}[sdk]
                whole = {"text": TEXT, "calls": [], "end": end}
                self.assertEqual(self.run_check(sdk, "chat", model), whole)
                self.assertEqual(self.run_check(sdk, "gathered", model), whole)
                self.assertEqual(self.run_check(sdk, "stream", model), {"text": TEXT})

    def test_tools_one_and_two_whole_and_streamed(self):
        for wanted, kind in ((["f"], "tools"), (["f", "g"], "parallel")):
            for sdk, model in self.both_over(kind):
                end = {"openai": "tool_calls", "anthropic": "tool_use"}[sdk]
                calls = [{"name": name, "q": TEXT} for name in wanted]
                for check in ("tools", "streamed tools"):
                    with self.subTest(sdk=sdk, over=model, check=check):
                        came = self.run_check(sdk, check, model)
                        self.assertEqual(came, {"text": "", "calls": calls, "end": end})

    def test_results_go_back_and_thinking_with_them(self):
        for kind in ("parallel", "thinking"):
            for sdk, model in self.both_over(kind):
                with self.subTest(sdk=sdk, over=model):
                    came = self.run_check(sdk, "turn", model)
                    self.assertIn("sunny", came.get("text", ""), came)

    def test_errors_are_the_clients_own(self):
        for kind, trouble, name, status in (
            ("broken", "context length", "BadRequestError", 400),
            ("broken", "status 500", "InternalServerError", 502),
            ("limited", "status 429", "RateLimitError", 429),
        ):
            self.upstream.order(f"trouble {trouble}")
            for sdk, model in self.both_over(kind):
                for check in ("chat", "stream", "gathered"):
                    with self.subTest(sdk=sdk, over=model, check=check, trouble=trouble):
                        came = self.run_check(sdk, check, model)
                        self.assertEqual((came.get("raised"), came.get("status")), (name, status), came)

    def test_a_broken_stream_raises(self):
        for trouble in ("cut 2", "error inside 2", "unfinished"):
            self.upstream.order(f"trouble {trouble}")
            for sdk, model in self.both_over("cut"):
                for check in ("stream", "gathered"):
                    with self.subTest(sdk=sdk, over=model, check=check, trouble=trouble):
                        came = self.run_check(sdk, check, model)
                        self.assertTrue(came.get("own"), came)

    def test_vectors(self):
        for dialect in ("openai", "azure", "gemini", "ollama"):
            with self.subTest(over=dialect):
                made = self.run_check("openai", "embeddings", f"{dialect}-echo")
                self.assertEqual([len(vector) for vector in made.get("vectors", [])], [5, 5], made)
                for vector, floats in zip(made["vectors"], made["floats"]):
                    self.assertAlmostEqual(math.hypot(*vector), 1, 3)
                    self.assertLess(math.dist(vector, floats), 1e-6)
        # the scripted upstream has none in Anthropic's dialect, nor has Anthropic
        came = self.run_check("openai", "embeddings", "anthropic-echo")
        self.assertEqual(came.get("raised"), "BadRequestError", came)

    def test_leaving_is_noticed_upstream(self):
        for sdk, model in self.both_over("echo"):
            for phase in ("early", "first", "middle", "whole"):
                with self.subTest(sdk=sdk, over=model, phase=phase):
                    self.upstream.heal()
                    slow = "tokens_per_second 5" if phase in ("first", "middle") else "latency_ms 30000"
                    self.upstream.order(f"option {slow}")
                    before = self.upstream.order("stats")["aborted"]
                    self.assertEqual(self.run_check(sdk, f"leave {phase}", model), {"left": phase})
                    gone = lambda stats: stats["aborted"] == before + 1 and stats["in_flight"] == 0
                    self.upstream.eventually(gone, 1.0)


if __name__ == "__main__":
    unittest.main()
