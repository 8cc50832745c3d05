"""The OpenAI SDK, pointed at a node and otherwise untouched."""

import unittest

import openai
from node import Node

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


def say(text):
    return [{"role": "user", "content": text}]


class OpenAISDK(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.stop)
        cls.client = openai.OpenAI(
            base_url=f"http://{cls.node.http}/v1", api_key="unused", max_retries=0
        )

    def chat(self, model, text, **parameters):
        return self.client.chat.completions.create(model=model, messages=say(text), **parameters)

    def test_a_chat_has_an_answer_usage_and_a_request_id(self):
        answer = self.chat("echo", "hello there")
        self.assertEqual(answer.choices[0].message.content, "hello there")
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertGreater(answer.usage.total_tokens, 0)
        self.assertTrue(answer._request_id)

    def test_a_raw_response_shows_the_routers_headers(self):
        raw = self.client.chat.completions.with_raw_response.create(
            model="echo", messages=say("raw"), extra_headers={"x-llm-router-cache": "off"}
        )
        self.assertTrue(raw.headers["x-request-id"])
        self.assertEqual(raw.headers["x-llm-router-model"], "echo")
        self.assertEqual(raw.headers["x-llm-router-cache"], "bypass")
        self.assertEqual(raw.parse().choices[0].message.content, "raw")

    def test_a_stream_arrives_in_pieces_and_usage_comes_last_when_asked_for(self):
        chunks = list(
            self.chat("echo", "one two three", stream=True, stream_options={"include_usage": True})
        )
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertEqual(text, "one two three")
        self.assertGreater(len(chunks), 3)
        self.assertEqual(chunks[-1].choices, [])
        self.assertGreater(chunks[-1].usage.total_tokens, 0)

    def test_a_stream_has_no_empty_choices_when_usage_was_not_asked_for(self):
        for chunk in self.chat("echo", "one two", stream=True):
            self.assertTrue(chunk.choices)
            self.assertIsNone(chunk.usage)

    def test_tool_calls_pass_through_whole_and_streamed(self):
        call = self.chat("tools", "Weather in Oslo?", tools=TOOLS).choices[0]
        self.assertEqual(call.finish_reason, "tool_calls")
        self.assertEqual(call.message.tool_calls[0].function.name, "get_weather")
        with self.client.chat.completions.stream(
            model="tools", messages=say("Weather in Oslo, streamed?"), tools=TOOLS
        ) as stream:
            final = stream.get_final_completion()
        self.assertEqual(final.choices[0].message.tool_calls[0].function.name, "get_weather")
        self.assertIn("city", final.choices[0].message.tool_calls[0].function.arguments)

    def test_a_tool_result_continues_the_conversation(self):
        call = self.chat("tools", "Weather in Rome?", tools=TOOLS).choices[0].message
        messages = say("Weather in Rome?") + [
            call.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "sunny"},
        ]
        answer = self.client.chat.completions.create(model="tools", messages=messages, tools=TOOLS)
        self.assertIn("sunny", answer.choices[0].message.content)

    def test_models_can_be_listed_and_looked_up(self):
        names = {model.id for model in self.client.models.list()}
        self.assertLessEqual({"auto", "echo", "tools", "safe"}, names)
        self.assertEqual(self.client.models.retrieve("echo").id, "echo")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("no-such-model")

    def test_an_unknown_model_is_not_found(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.chat("no-such-model", "x")
        self.assertEqual(caught.exception.code, "model_not_found")
        self.assertTrue(caught.exception.request_id)

    def test_a_bad_request_names_its_parameter(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="echo", messages=[])
        self.assertEqual(caught.exception.type, "invalid_request_error")
        self.assertEqual(caught.exception.param, "messages")

    def test_an_upstreams_own_refusal_keeps_its_status(self):
        with self.assertRaises(openai.UnprocessableEntityError):
            self.chat("rejecting", "x")

    def test_rate_limits_say_when_to_come_back(self):
        with self.assertRaises(openai.RateLimitError) as caught:
            self.chat("limited", "x")
        self.assertGreater(float(caught.exception.response.headers["retry-after"]), 0)

    def test_the_sdk_comes_back_after_a_rate_limit(self):
        answer = self.client.with_options(max_retries=2).chat.completions.create(
            model="limited-once", messages=say("second time lucky")
        )
        self.assertEqual(answer.choices[0].message.content, "second time lucky")

    def test_a_dead_upstream_is_asked_exactly_once_however_many_retries_the_sdk_has(self):
        before = self.node.failures("broken")
        with self.assertRaises(openai.InternalServerError) as caught:
            self.client.with_options(max_retries=3).chat.completions.create(
                model="broken", messages=say("x")
            )
        self.assertEqual(caught.exception.status_code, 502)
        self.assertEqual(caught.exception.response.headers["x-should-retry"], "false")
        self.assertEqual(self.node.failures("broken") - before, 1)

    def test_a_route_with_a_fallback_answers(self):
        self.assertEqual(self.chat("safe", "fine").choices[0].message.content, "fine")

    def test_a_deadline_is_an_error_of_the_server_and_the_sdks_own_timeout_of_the_client(self):
        with self.assertRaises(openai.InternalServerError) as caught:
            self.chat("slow", "x", extra_headers={"x-llm-router-timeout-ms": "300"})
        self.assertEqual(caught.exception.status_code, 504)
        with self.assertRaises((openai.APITimeoutError, openai.InternalServerError)):
            self.client.with_options(timeout=0.5).chat.completions.create(
                model="slow", messages=say("y")
            )

    def test_a_cut_off_stream_raises_instead_of_looking_finished(self):
        with self.assertRaises(openai.APIError):
            for _ in self.chat("cut", "one two three four five", stream=True):
                pass


if __name__ == "__main__":
    unittest.main()
