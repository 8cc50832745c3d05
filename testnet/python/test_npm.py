"""The official JavaScript clients, run by `testnet/npm/sdk.mjs` against a node of ours."""

import json
import os
import shutil
import subprocess
import unittest

from node import Node
from upstream import DIALECTS, Upstream, wires

MODULES = os.environ.get("LLM_ROUTER_NPM", "")


@unittest.skipUnless(MODULES and shutil.which("node"), "the npm packages are not installed")
class Npm(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.stop)
        cls.node = Node(wires(cls.upstream))
        cls.addClassCleanup(cls.node.stop)

    def setUp(self):
        self.upstream.heal()

    def run_check(self, sdk, check, model, **more):
        script = os.path.join(MODULES, "sdk.mjs")
        asked = [sdk, check, f"http://{self.node.http}", model]
        ran = subprocess.run(
            ["node", script, *asked], capture_output=True, text=True, timeout=60, cwd=MODULES, **more
        )
        self.assertEqual(ran.returncode, 0, f"{ran.stdout}\n{ran.stderr}")
        return json.loads(ran.stdout.splitlines()[-1])

    def over(self, model):
        for sdk in ("openai", "anthropic"):
            for dialect in DIALECTS:
                yield sdk, f"{dialect}-{model}"

    def test_a_chat_and_a_stream(self):
        for sdk, model in self.over("echo"):
            with self.subTest(sdk=sdk, over=model):
                self.assertEqual(self.run_check(sdk, "chat", model), {"text": "one two three"})
                self.assertEqual(self.run_check(sdk, "stream", model), {"text": "one two three"})

    def test_tools(self):
        for sdk, model in self.over("parallel"):
            with self.subTest(sdk=sdk, over=model):
                answer = self.run_check(sdk, "tools", model)
                wanted = [{"name": "f", "q": "one two three"}, {"name": "g", "q": "one two three"}]
                self.assertEqual(answer, {"calls": wanted})

    def test_errors(self):
        self.upstream.order("trouble context length")
        for sdk, model in self.over("broken"):
            with self.subTest(sdk=sdk, over=model):
                self.assertEqual(self.run_check(sdk, "error", model), {"status": 400})

    def test_leaving_is_noticed_upstream(self):
        for sdk, model in self.over("echo"):
            with self.subTest(sdk=sdk, over=model):
                for phase in ("early", "middle", "whole"):
                    self.upstream.heal()
                    pace = "latency_ms 30000" if phase != "middle" else "tokens_per_second 4"
                    self.upstream.order(f"option {pace}")
                    before = self.upstream.order("stats")["aborted"]
                    # the script stays for two seconds after it has left, so its own end does not count
                    script = os.path.join(MODULES, "sdk.mjs")
                    ran = subprocess.Popen(
                        ["node", script, sdk, phase, f"http://{self.node.http}", model],
                        stdout=subprocess.PIPE, text=True, cwd=MODULES,
                    )
                    self.assertEqual(ran.stdout.readline().strip(), "left", phase)
                    gone = lambda stats: stats["aborted"] == before + 1 and stats["in_flight"] == 0
                    self.upstream.eventually(gone, 1.0)
                    ran.wait(timeout=20)
                    ran.stdout.close()


if __name__ == "__main__":
    unittest.main()
