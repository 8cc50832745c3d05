"""Google's and Ollama's own clients on the scripted upstream: what they understand is their wire."""

import unittest

import ollama
from google import genai
from google.genai import errors, types
from upstream import KEY, Upstream


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
        schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
        declared = [
            types.FunctionDeclaration(name=name, parameters_json_schema=schema)
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

    def test_vectors(self):
        made = self.models.embed_content(model="m", contents=["a", "b"])
        self.assertEqual(len(made.embeddings), 2)
        self.assertNotEqual(made.embeddings[0].values, made.embeddings[1].values)

    def test_errors(self):
        self.upstream.order("trouble status 429, delay in the body")
        with self.assertRaises(errors.ClientError) as caught:
            self.models.generate_content(model="echo", contents="x")
        self.assertEqual((caught.exception.code, caught.exception.status), (429, "RESOURCE_EXHAUSTED"))
        self.upstream.order("trouble refused")
        answer = self.models.generate_content(model="echo", contents="x")
        self.assertTrue(answer.prompt_feedback.block_reason)


class Ollama(Faithful):
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

    def test_tools(self):
        schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
        tools = [
            {"type": "function", "function": {"name": name, "parameters": schema}}
            for name in ("f", "g")
        ]
        calls = self.chat("parallel", tools=tools).message.tool_calls
        self.assertEqual([call.function.name for call in calls], ["f", "g"])
        self.assertEqual(calls[0].function.arguments, {"q": "one two"})

    def test_thinking_vectors_and_errors(self):
        self.assertIn("They ask", self.chat("thinking").message.thinking)
        self.assertEqual(len(self.client.embed(model="m", input=["a", "b"]).embeddings), 2)
        self.upstream.order("trouble context length")
        with self.assertRaises(ollama.ResponseError) as caught:
            self.chat("echo")
        self.assertEqual(caught.exception.status_code, 400)


if __name__ == "__main__":
    unittest.main()
