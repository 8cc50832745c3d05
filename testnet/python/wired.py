"""What the tests over every dialect share: one upstream, one node in front of it, one question."""

import unittest

from node import Node
from upstream import DIALECTS, Upstream, wires

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "asks", "parameters": SCHEMA}}
    for name in ("f", "g")
]
LONG = "one two three four five six seven eight nine ten"


def say(text):
    return [{"role": "user", "content": text}]


class Wires(unittest.TestCase):
    dialects = DIALECTS

    @classmethod
    def setUpClass(cls):
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.stop)
        cls.node = Node(wires(cls.upstream, cls.dialects))
        cls.addClassCleanup(cls.node.stop)

    def setUp(self):
        self.upstream.heal()

    def over(self, model):
        for dialect in self.dialects:
            yield f"{dialect}-{model}"
