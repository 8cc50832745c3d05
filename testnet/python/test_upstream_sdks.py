"""Google's and Ollama's own clients on the scripted upstream: what they understand is their wire."""

import unittest

import ollama
from google import genai
from google.genai import errors, types
from upstream import KEY, Upstream
from wired import SCHEMA, TOOLS


class Faithful(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.stop)

    def setUp(self):
        self.upstream.heal()


class Google(Faithful):
    def setUp(self):
        super().setUp()
        options = types.HttpOptions(base_url=self.upstream.url)
        # the client closes what it holds when nobody holds the client
        self.client = genai.Client(api_key=KEY, http_options=options)
        self.models = self.client.models
        declared = [
            types.FunctionDeclaration(name=name, parameters_json_schema=SCHEMA)
            for name in ("f", "g")
        ]
        self.tools = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=declared)]
        )

    def test_an_answer_whole_and_streamed(self):
        answer = self.models.generate_content(model="echo", contents="good day")
        self.assertEqual(answer.text, "good day")
        self.assertEqual(answer.candidates[0].finish_reason, types.FinishReason.STOP)
        self.assertGreater(answer.usage_metadata.total_token_count, 0)
        pieces = self.models.generate_content_stream(model="echo", contents="one two three")
        self.assertEqual("".join(piece.text or "" for piece in pieces), "one two three")

    def test_tools_and_their_results(self):
        for model, wanted in (("tools", ["f"]), ("parallel", ["f", "g"]), ("thinking", ["f"])):
            with self.subTest(model=model):
                asked = types.Content(role="user", parts=[types.Part(text="x")])
                answer = self.models.generate_content(
                    model=model, contents=[asked], config=self.tools
                )
                self.assertEqual([call.name for call in answer.function_calls], wanted)
                self.assertEqual(answer.function_calls[0].args, {"q": "x"})
                results = [
                    types.Part.from_function_response(name=name, response={"result": "sunny"})
                    for name in wanted
                ]
                turns = [asked, answer.candidates[0].content]
                turns.append(types.Content(role="user", parts=results))
                second = self.models.generate_content(
                    model=model, contents=turns, config=self.tools
                )
                self.assertIn("sunny", second.text)

    def test_a_chat_remembers(self):
        chat = self.client.chats.create(model="echo")
        self.assertEqual(chat.send_message("good day").text, "good day")
        pieces = chat.send_message_stream("one two three")
        self.assertEqual("".join(piece.text or "" for piece in pieces), "one two three")
        said = [(turn.role, turn.parts[0].text) for turn in chat.get_history(curated=True)[:3]]
        self.assertEqual(said, [("user", "good day"), ("model", "good day"), ("user", "one two three")])

    def test_a_limit_ends_an_answer(self):
        limit = types.GenerateContentConfig(max_output_tokens=2)
        answer = self.models.generate_content(model="echo", contents="one two three", config=limit)
        self.assertEqual(answer.candidates[0].finish_reason, types.FinishReason.MAX_TOKENS)

    def test_tools_streamed(self):
        for model, wanted in (("tools", ["f"]), ("parallel", ["f", "g"]), ("thinking", ["f"])):
            with self.subTest(model=model):
                pieces = list(
                    self.models.generate_content_stream(model=model, contents="x", config=self.tools)
                )
                calls = [call for piece in pieces for call in piece.function_calls or []]
                self.assertEqual([(call.name, call.args) for call in calls], [(name, {"q": "x"}) for name in wanted])
                self.assertTrue(pieces[-1].candidates[0].finish_reason)

    def test_a_function_is_called_by_the_client_itself(self):
        asked = []

        def f(q: str) -> str:
            """Asks."""
            asked.append(q)
            return "sunny"

        config = types.GenerateContentConfig(tools=[f])
        answer = self.client.chats.create(model="tools", config=config).send_message("x")
        self.assertEqual(asked, ["x"])
        self.assertIn("sunny", answer.text)

    def test_thoughts_are_marked_and_sealed(self):
        whole = self.models.generate_content(model="thinking", contents="good day")
        pieces = list(self.models.generate_content_stream(model="thinking", contents="good day"))
        for answers in ([whole], pieces):
            parts = [part for answer in answers for part in answer.candidates[0].content.parts or []]
            thoughts = "".join(part.text or "" for part in parts if part.thought)
            self.assertIn("They ask", thoughts)
            self.assertEqual("".join(part.text or "" for part in parts if not part.thought), "good day")
            self.assertTrue(any(part.thought_signature for part in parts))

    def test_vectors(self):
        made = self.models.embed_content(model="m", contents=["a", "b"])
        self.assertEqual(len(made.embeddings), 2)
        self.assertNotEqual(made.embeddings[0].values, made.embeddings[1].values)

    def test_errors(self):
        self.upstream.order("trouble status 429, delay in the body")
        with self.assertRaises(errors.ClientError) as caught:
            self.models.generate_content(model="echo", contents="x")
        self.assertEqual((caught.exception.code, caught.exception.status), (429, "RESOURCE_EXHAUSTED"))
        for trouble, kind, code in (
            ("context length", errors.ClientError, 400),
            ("status 500", errors.ServerError, 500),
            ("status 503", errors.ServerError, 503),
        ):
            self.upstream.order(f"trouble {trouble}")
            with self.subTest(trouble=trouble):
                with self.assertRaises(kind) as caught:
                    self.models.generate_content(model="echo", contents="x")
                self.assertEqual(caught.exception.code, code)
                with self.assertRaises(kind):
                    list(self.models.generate_content_stream(model="echo", contents="x"))
        self.upstream.order("trouble refused")
        answer = self.models.generate_content(model="echo", contents="x")
        self.assertTrue(answer.prompt_feedback.block_reason)

    def test_a_broken_stream_raises(self):
        for trouble in ("cut 2", "error inside 2"):
            self.upstream.order(f"trouble {trouble}")
            with self.subTest(trouble=trouble):
                with self.assertRaises(Exception):
                    list(self.models.generate_content_stream(model="echo", contents="one two three four"))


class Ollama(Faithful):
    tools = TOOLS

    def setUp(self):
        super().setUp()
        self.client = ollama.Client(host=self.upstream.url)

    def chat(self, model, **more):
        return self.client.chat(
            model=model, messages=[{"role": "user", "content": "one two"}], **more
        )

    def test_an_answer_whole_and_streamed(self):
        answer = self.chat("echo")
        self.assertEqual((answer.message.content, answer.done_reason), ("one two", "stop"))
        pieces = list(self.chat("echo", stream=True))
        self.assertEqual("".join(piece.message.content for piece in pieces), "one two")
        self.assertTrue(pieces[-1].done)

    def test_tools_and_their_results(self):
        for model, wanted in (("tools", ["f"]), ("parallel", ["f", "g"])):
            with self.subTest(model=model):
                whole = self.chat(model, tools=self.tools)
                pieces = list(self.chat(model, tools=self.tools, stream=True))
                streamed = [call for piece in pieces for call in piece.message.tool_calls or []]
                for calls in (whole.message.tool_calls, streamed):
                    self.assertEqual([call.function.name for call in calls], wanted)
                    self.assertEqual(calls[0].function.arguments, {"q": "one two"})
                self.assertTrue(pieces[-1].done)
                results = [{"role": "tool", "tool_name": name, "content": "sunny"} for name in wanted]
                turns = [{"role": "user", "content": "x"}, whole.message, *results]
                second = self.client.chat(model=model, messages=turns, tools=self.tools)
                self.assertIn("sunny", second.message.content)

    def test_a_limit_ends_an_answer(self):
        answer = self.chat("echo", options={"num_predict": 1})
        self.assertEqual((answer.message.content.strip(), answer.done_reason), ("one", "length"))

    def test_thinking_is_streamed(self):
        pieces = list(self.chat("thinking", stream=True))
        thoughts = "".join(piece.message.thinking or "" for piece in pieces)
        self.assertIn("They ask", thoughts)
        self.assertEqual("".join(piece.message.content for piece in pieces), "one two")

    def test_the_models_are_listed(self):
        self.assertIn("echo", [model.model for model in self.client.list().models])

    def test_errors(self):
        for trouble, status in (("context length", 400), ("status 429", 429), ("status 500", 500)):
            self.upstream.order(f"trouble {trouble}")
            with self.subTest(trouble=trouble):
                with self.assertRaises(ollama.ResponseError) as caught:
                    self.chat("echo")
                self.assertEqual(caught.exception.status_code, status)
                self.assertTrue(caught.exception.error)
                with self.assertRaises(ollama.ResponseError):
                    list(self.chat("echo", stream=True))

    def test_a_broken_stream_raises(self):
        self.upstream.order("trouble error inside 1")
        with self.assertRaises(ollama.ResponseError):
            list(self.chat("echo", stream=True))
        self.upstream.order("trouble cut 1")
        with self.assertRaises(Exception):
            list(self.chat("echo", stream=True))

    def test_thinking_and_vectors(self):
        self.assertIn("They ask", self.chat("thinking").message.thinking)
        self.assertEqual(len(self.client.embed(model="m", input=["a", "b"]).embeddings), 2)


if __name__ == "__main__":
    unittest.main()
