"""The Anthropic SDK: on the scripted upstream itself, to prove it faithful, and through a node over
an upstream of every dialect."""

import unittest

import anthropic
from node import Node
from upstream import DIALECTS, KEY, Upstream, leave_in_every_phase, wires

TOOLS = [
    {
        "name": name,
        "description": "asks",
        "input_schema": {
            "type": "object",
            "properties": {"q": {"type": "string"}},
            "required": ["q"],
        },
    }
    for name in ("f", "g")
]


def say(text):
    return [{"role": "user", "content": text}]


class Anthropic(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.stop)
        cls.node = Node(wires(cls.upstream))
        cls.addClassCleanup(cls.node.stop)
        sides = {"node": f"http://{cls.node.http}", "upstream": cls.upstream.url}
        cls.clients = {
            side: anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0)
            for side, url in sides.items()
        }

    def setUp(self):
        self.upstream.heal()

    def over(self, model, dialects=DIALECTS):
        yield self.clients["upstream"].messages, model
        for dialect in dialects:
            yield self.clients["node"].messages, f"{dialect}-{model}"

    def test_a_message(self):
        for messages, model in self.over("echo"):
            with self.subTest(side=messages._client.base_url, model=model):
                answer = messages.create(model=model, max_tokens=99, messages=say("good day"))
                self.assertEqual(answer.content[0].text, "good day")
                self.assertEqual(answer.stop_reason, "end_turn")
                self.assertGreater(answer.usage.output_tokens, 0)

    def test_a_stream(self):
        for messages, model in self.over("echo"):
            with self.subTest(side=messages._client.base_url, model=model):
                with messages.stream(
                    model=model, max_tokens=99, messages=say("one two three")
                ) as stream:
                    self.assertEqual("".join(stream.text_stream), "one two three")
                    final = stream.get_final_message()
                self.assertEqual(final.stop_reason, "end_turn")
                self.assertGreater(final.usage.output_tokens, 0)

    def test_tools_one_and_two_whole_and_streamed(self):
        for wanted, kind in ((["f"], "tools"), (["f", "g"], "parallel")):
            for messages, model in self.over(kind):
                with self.subTest(side=messages._client.base_url, model=model):
                    asked = dict(model=model, max_tokens=99, messages=say("x"), tools=TOOLS)
                    whole = messages.create(**asked)
                    with messages.stream(**asked) as stream:
                        streamed = stream.get_final_message()
                    for answer in (whole, streamed):
                        calls = [block for block in answer.content if block.type == "tool_use"]
                        self.assertEqual([call.name for call in calls], wanted)
                        self.assertEqual([call.input for call in calls], [{"q": "x"}] * len(wanted))
                        self.assertEqual(answer.stop_reason, "tool_use")

    def test_results_go_back(self):
        for messages, model in self.over("parallel"):
            with self.subTest(side=messages._client.base_url, model=model):
                self.check_turn(messages, model)

    def test_sealed_thinking_goes_back_with_the_results(self):
        for messages, model in self.over("thinking", ("anthropic", "gemini")):
            with self.subTest(side=messages._client.base_url, model=model):
                first = self.check_turn(messages, model)
                thoughts = [block for block in first.content if block.type == "thinking"]
                self.assertTrue(any(thought.signature for thought in thoughts))

    def check_turn(self, messages, model):
        asked = dict(model=model, max_tokens=4000, tools=TOOLS)
        first = messages.create(messages=say("x"), **asked)
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}
            for block in first.content
            if block.type == "tool_use"
        ]
        turns = say("x") + [
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": results},
        ]
        second = messages.create(messages=turns, **asked)
        self.assertIn("sunny", second.content[-1].text)
        return first

    def test_errors_are_the_sdks_own(self):
        for trouble, kind in (
            ("context length", anthropic.BadRequestError),
            ("status 500", anthropic.InternalServerError),
            # last: a model that asked for patience is left in peace for a while
            ("status 429", anthropic.RateLimitError),
        ):
            self.upstream.order(f"trouble {trouble}")
            for messages, model in self.over("broken"):
                with self.subTest(side=messages._client.base_url, model=model):
                    with self.assertRaises(kind):
                        messages.create(model=model, max_tokens=99, messages=say(trouble))

    def test_a_cut_off_stream_raises(self):
        self.upstream.order("trouble cut 2")
        for messages, model in self.over("cut"):
            with self.subTest(side=messages._client.base_url, model=model):
                with self.assertRaises(Exception):
                    asked = say("one two three four")
                    with messages.stream(model=model, max_tokens=99, messages=asked) as stream:
                        stream.get_final_message()

    def test_tokens_are_counted(self):
        for messages, model in self.over("echo"):
            with self.subTest(side=messages._client.base_url, model=model):
                counted = messages.count_tokens(model=model, messages=say("three little words"))
                self.assertGreater(counted.input_tokens, 0)

    def test_leaving_is_noticed_upstream(self):
        text = "one two three four five six seven eight nine ten"
        for messages, model in self.over("echo"):
            with self.subTest(side=messages._client.base_url, model=model):
                asked = dict(model=model, max_tokens=99, messages=say(text))

                def ask(seconds):
                    messages.create(timeout=seconds, **asked)

                def stream(seconds):
                    pieces = messages.create(timeout=seconds, stream=True, **asked)
                    return iter(pieces), pieces.close

                leave_in_every_phase(self, self.upstream, ask, stream)


if __name__ == "__main__":
    unittest.main()
