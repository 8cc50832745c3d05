"""The OpenAI SDK through a node, over an upstream of every dialect."""

import json
import unittest

import openai
from upstream import leave_in_every_phase
from wired import LONG, TOOLS, Wires, say


class OpenAI(Wires):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = openai.OpenAI(
            base_url=f"http://{cls.node.http}/v1", api_key="unused", max_retries=0
        )
        cls.create = cls.client.chat.completions.create

    def test_a_chat(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                answer = self.create(model=model, messages=say("good day"))
                self.assertEqual(answer.choices[0].message.content, "good day")
                self.assertEqual(answer.choices[0].finish_reason, "stop")
                self.assertGreater(answer.usage.total_tokens, 0)

    def test_a_stream(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                chunks = list(self.create(model=model, messages=say("one two three"), stream=True))
                text = "".join(c.choices[0].delta.content or "" for c in chunks)
                self.assertEqual(text, "one two three")
                self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")

    def test_tools_one_and_two_whole_and_streamed(self):
        for wanted, model in ((["f"], "tools"), (["f", "g"], "parallel")):
            for model in self.over(model):
                with self.subTest(over=model):
                    message = self.create(model=model, messages=say("x"), tools=TOOLS).choices[0].message
                    self.check_calls(message, wanted)
                    with self.client.chat.completions.stream(
                        model=model, messages=say("x"), tools=TOOLS
                    ) as stream:
                        final = stream.get_final_completion().choices[0]
                    self.check_calls(final.message, wanted)
                    self.assertEqual(final.finish_reason, "tool_calls")

    def check_calls(self, message, wanted):
        self.assertEqual([call.function.name for call in message.tool_calls], wanted)
        for call in message.tool_calls:
            self.assertEqual(json.loads(call.function.arguments), {"q": "x"})

    def test_results_go_back_and_thinking_with_them(self):
        for kind in ("parallel", "thinking"):
            for model in self.over(kind):
                with self.subTest(over=model):
                    first = self.create(model=model, messages=say("x"), tools=TOOLS).choices[0].message
                    results = [
                        {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
                        for call in first.tool_calls
                    ]
                    messages = say("x") + [first.model_dump(exclude_none=True)] + results
                    second = self.create(model=model, messages=messages, tools=TOOLS)
                    self.assertIn("sunny", second.choices[0].message.content)

    def test_errors_are_the_sdks_own(self):
        for trouble, kind in (
            ("context length", openai.BadRequestError),
            ("status 500", openai.InternalServerError),
            # last: a model that asked for patience is left in peace for a while
            ("status 429", openai.RateLimitError),
        ):
            self.upstream.order(f"trouble {trouble}")
            for model in self.over("broken"):
                with self.subTest(over=model):
                    with self.assertRaises(kind) as caught:
                        self.create(model=model, messages=say(trouble))
                    self.assertTrue(caught.exception.request_id)

    def test_a_cut_off_stream_raises(self):
        self.upstream.order("trouble cut 2")
        for model in self.over("cut"):
            with self.subTest(over=model):
                with self.assertRaises(openai.APIError):
                    for _ in self.create(model=model, messages=say("one two three four"), stream=True):
                        pass

    def test_leaving_is_noticed_upstream(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                messages = say(LONG)

                def ask(seconds):
                    self.create(model=model, messages=messages, timeout=seconds)

                def stream(seconds):
                    pieces = self.create(
                        model=model, messages=messages, timeout=seconds, stream=True
                    )
                    return iter(pieces), pieces.close

                leave_in_every_phase(self, self.upstream, ask, stream)


if __name__ == "__main__":
    unittest.main()
