"""LangChain's ChatOpenAI through a node, over an upstream of every dialect."""

import unittest

import openai
from langchain_openai import ChatOpenAI
from upstream import leave_in_every_phase
from wired import LONG, TOOLS, Wires


class LangChain(Wires):
    def model(self, name, **more):
        return ChatOpenAI(
            model=name, base_url=f"http://{self.node.http}/v1", api_key="unused", max_retries=0, **more
        )

    def test_invoke_and_stream(self):
        for name in self.over("echo"):
            with self.subTest(over=name):
                answer = self.model(name).invoke("good day")
                self.assertEqual(answer.content, "good day")
                self.assertEqual(answer.response_metadata["finish_reason"], "stop")
                self.assertGreater(answer.usage_metadata["total_tokens"], 0)
                whole = self.added(self.model(name).stream("one two three"))
                self.assertEqual(whole.content, "one two three")
                self.assertEqual(whole.response_metadata["finish_reason"], "stop")

    def test_bound_tools_are_called_and_answered(self):
        for name in self.over("parallel"):
            with self.subTest(over=name):
                bound = self.model(name).bind_tools(TOOLS)
                first = bound.invoke("x")
                self.assertEqual([call["name"] for call in first.tool_calls], ["f", "g"])
                self.assertEqual(first.tool_calls[0]["args"], {"q": "x"})
                self.check_turn(bound, first)

    def test_tools_one_and_two_streamed(self):
        for wanted, kind in ((["f"], "tools"), (["f", "g"], "parallel")):
            for name in self.over(kind):
                with self.subTest(over=name):
                    bound = self.model(name).bind_tools(TOOLS)
                    first = self.added(bound.stream("x"))
                    self.assertEqual([call["name"] for call in first.tool_calls], wanted)
                    self.assertEqual([call["args"] for call in first.tool_calls], [{"q": "x"}] * len(wanted))
                    self.assertEqual(len({call["id"] for call in first.tool_calls}), len(wanted))
                    self.assertEqual(first.invalid_tool_calls, [])
                    self.assertEqual(first.response_metadata["finish_reason"], "tool_calls")
                    self.check_turn(bound, first)

    def added(self, pieces):
        whole = next(pieces)
        for piece in pieces:
            whole += piece
        return whole

    def check_turn(self, bound, first):
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in first.tool_calls
        ]
        turns = [("user", "x"), first, *results]
        self.assertIn("sunny", bound.invoke(turns).content)
        self.assertIn("sunny", self.added(bound.stream(turns)).content)

    def test_errors_are_openais(self):
        for kind, trouble, error in (
            ("broken", "context length", openai.BadRequestError),
            ("broken", "status 500", openai.InternalServerError),
            ("broken", "closed", openai.InternalServerError),
            ("limited", "status 429", openai.RateLimitError),
        ):
            self.upstream.order(f"trouble {trouble}")
            for name in self.over(kind):
                with self.subTest(over=name, trouble=trouble):
                    with self.assertRaises(error):
                        self.model(name).invoke(trouble)
                    with self.assertRaises(error):
                        self.added(self.model(name).stream(trouble))

    def test_an_unknown_model_is_not_found(self):
        with self.assertRaises(openai.NotFoundError):
            self.model("no-such-model").invoke("x")

    def test_a_cut_off_stream_raises(self):
        self.upstream.order("trouble cut 2")
        for name in self.over("cut"):
            with self.subTest(over=name):
                with self.assertRaises(openai.APIError):
                    self.added(self.model(name).stream("one two three four"))

    def test_leaving_is_noticed_upstream(self):
        for name in self.over("echo"):
            with self.subTest(over=name):

                def ask(seconds):
                    self.model(name, timeout=seconds).invoke(LONG)

                def stream(seconds):
                    pieces = self.model(name, timeout=seconds).stream(LONG)
                    return pieces, pieces.close

                leave_in_every_phase(self, self.upstream, ask, stream)


if __name__ == "__main__":
    unittest.main()
