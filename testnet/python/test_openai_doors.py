"""The OpenAI SDK's other doors, embeddings, responses and completions, over an upstream of every
dialect."""

import json
import math
import unittest

import openai
from node import Node, fetched_weights
from upstream import DIALECTS, leave_in_every_phase
from wired import LONG, SCHEMA, Wires, say

# last: a model that asked for patience is left in peace for a while
ERRORS = (
    ("broken", "context length", openai.BadRequestError),
    ("broken", "status 500", openai.InternalServerError),
    ("broken", "closed", openai.InternalServerError),
    ("limited", "status 429", openai.RateLimitError),
)


def client_of(node):
    return openai.OpenAI(base_url=f"http://{node.http}/v1", api_key="unused", max_retries=0)


class Doors(Wires):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = client_of(cls.node)

    def check_errors(self, ask):
        """`ask(model)` ends in the exception that the SDK has for the trouble."""
        for kind, trouble, error in ERRORS:
            self.upstream.order(f"trouble {trouble}")
            for model in self.over(kind):
                with self.subTest(over=model, trouble=trouble):
                    with self.assertRaises(error) as caught:
                        ask(model)
                    self.assertTrue(caught.exception.request_id)
        with self.assertRaises(openai.NotFoundError) as caught:
            ask("no-such-model")
        self.assertEqual(caught.exception.code, "model_not_found")


class Embeddings(Doors):
    dialects = ("openai", "azure", "gemini", "ollama")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # as a static method, or it would be bound to the test
        cls.create = staticmethod(cls.client.embeddings.create)

    def test_a_text_is_the_same_vector_in_either_encoding(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                # the SDK asks for base64 by itself, and reads it
                made = self.create(model=model, input="good day")
                asked = self.create(model=model, input="good day", encoding_format="float")
                self.assertEqual(made.object, "list")
                self.assertEqual([one.index for one in made.data], [0])
                check_vector(self, made.data[0].embedding, 8)
                check_equal(self, made.data[0].embedding, asked.data[0].embedding)
                raw = self.create(model=model, input="good day", encoding_format="base64")
                self.assertIsInstance(raw.data[0].embedding, str)

    def test_a_list_has_a_vector_for_each_in_its_order(self):
        texts = [f"text {number}" for number in range(120)]  # more than Gemini takes at once
        firsts = {}
        for model in self.over("echo"):
            with self.subTest(over=model):
                made = self.create(model=model, input=texts)
                self.assertEqual([one.index for one in made.data], list(range(120)))
                for number in (0, 99, 100, 119):
                    alone = self.create(model=model, input=texts[number])
                    check_equal(self, made.data[number].embedding, alone.data[0].embedding)
                firsts[model] = made.data[0].embedding
        # the scripted upstream has one vector for a text, whatever it is asked in
        for vector in firsts.values():
            check_equal(self, vector, firsts["openai-echo"])

    def test_vectors_are_as_long_as_asked(self):
        for model in self.over("echo"):
            for encoding in ("base64", "float"):
                with self.subTest(over=model, encoding=encoding):
                    more = {} if encoding == "base64" else {"encoding_format": encoding}
                    made = self.create(model=model, input=["a", "b"], dimensions=5, **more)
                    for one in made.data:
                        check_vector(self, one.embedding, 5)

    def test_tokens_are_counted_where_the_upstream_counts_them(self):
        for dialect in ("openai", "azure", "ollama"):
            with self.subTest(over=dialect):
                made = self.create(model=f"{dialect}-echo", input=["three little words", "two more"])
                self.assertEqual((made.usage.prompt_tokens, made.usage.total_tokens), (5, 5))

    def test_token_ids_go_where_they_are_taken(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                if model.startswith(("openai", "azure")):
                    made = self.create(model=model, input=[[1, 2, 3], [4]])
                    self.assertEqual(len(made.data), 2)
                    continue
                with self.assertRaises(openai.BadRequestError):
                    self.create(model=model, input=[[1, 2, 3], [4]])

    def test_errors_are_the_sdks_own(self):
        self.check_errors(lambda model: self.create(model=model, input="x"))

    def test_a_bad_request_names_its_parameter(self):
        for param, asked in (
            ("input", {"input": ""}),
            ("input", {"input": []}),
            ("dimensions", {"input": "x", "dimensions": 0}),
            ("encoding_format", {"input": "x", "encoding_format": "hex"}),
        ):
            with self.subTest(asked=asked):
                with self.assertRaises(openai.BadRequestError) as caught:
                    self.create(model="openai-echo", **asked)
                self.assertEqual(caught.exception.param, param)


class LocalVectors(unittest.TestCase):
    """The node's own embedder."""

    model = "local/all-MiniLM-L6-v2"

    @classmethod
    def setUpClass(cls):
        weights = fetched_weights()
        if weights is None:
            raise unittest.SkipTest("the embedder's weights are not here")
        cls.node = Node("cache: { enabled: false }\n", weights)
        cls.addClassCleanup(cls.node.stop)
        cls.client = client_of(cls.node)

    def embed(self, given, **more):
        made = self.client.embeddings.create(model=self.model, input=given, **more)
        return [one.embedding for one in made.data]

    def test_vectors_mean_something(self):
        texts = ["How do I bake bread?", "What is the way to make a loaf?", "The engine needs oil."]
        made = self.embed(texts)
        for vector in made:
            check_vector(self, vector, 384)
        like = sum(a * b for a, b in zip(made[0], made[1]))
        unlike = sum(a * b for a, b in zip(made[0], made[2]))
        self.assertGreater(like, unlike + 0.3)

    def test_a_vector_is_the_same_in_either_encoding_alone_or_in_a_list(self):
        alone = self.embed("good day")[0]
        check_equal(self, alone, self.embed("good day", encoding_format="float")[0])
        check_equal(self, alone, self.embed(["something else", "good day"])[1], 0.01)

    def test_it_is_among_the_models_and_counts(self):
        self.assertIn(self.model, [model.id for model in self.client.models.list()])
        made = self.client.embeddings.create(model=self.model, input="three little words")
        self.assertEqual(made.model, self.model)
        self.assertGreaterEqual(made.usage.prompt_tokens, 3)

    def test_what_it_cannot_do_is_a_bad_request(self):
        for asked in ({"input": [1, 2]}, {"input": "x", "dimensions": 100_000}):
            with self.subTest(asked=asked):
                with self.assertRaises(openai.BadRequestError):
                    self.client.embeddings.create(model=self.model, **asked)
        with self.assertRaises(openai.BadRequestError):
            self.client.chat.completions.create(model=self.model, messages=say("x"))


def check_vector(test, vector, dimensions):
    test.assertEqual(len(vector), dimensions)
    test.assertAlmostEqual(math.hypot(*vector), 1, 3)


def check_equal(test, one, other, within=1e-6):
    test.assertEqual(len(one), len(other))
    test.assertLess(math.dist(one, other), within)


TEXT = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
CALL = [
    "response.output_item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
]
THINKING = [
    "response.output_item.added",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_text.delta",
    "response.reasoning_summary_text.done",
    "response.reasoning_summary_part.done",
    "response.output_item.done",
]
BEGIN = ["response.created", "response.in_progress"]
END = ["response.completed"]


class Responses(Doors):
    # the last speaks Responses itself; its thoughts stay inside, as OpenAI keeps them
    dialects = (*DIALECTS, "responses")
    tools = [
        {"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in ("f", "g")
    ]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.create = staticmethod(cls.client.responses.create)

    def test_an_answer(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                answer = self.create(model=model, input="good day", instructions="be polite")
                self.assertEqual(answer.output_text, "good day")
                self.assertEqual((answer.object, answer.status), ("response", "completed"))
                self.assertGreater(answer.usage.total_tokens, 0)
                turns = say("good day") + [{"role": "assistant", "content": "oh"}] + say("good night")
                self.assertEqual(self.create(model=model, input=turns).output_text, "good night")

    def test_an_answer_that_is_cut_short_is_incomplete(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                asked = dict(model=model, input=LONG, max_output_tokens=3)
                with self.client.responses.stream(**asked) as stream:
                    last = list(stream)[-1]
                self.assertEqual(last.type, "response.incomplete")
                for answer in (self.create(**asked), last.response):
                    self.assertEqual(answer.status, "incomplete")
                    self.assertEqual(answer.incomplete_details.reason, "max_output_tokens")
                    self.assertEqual(answer.output_text.strip(), "one two three")

    def streamed(self, **asked):
        """All events, their numbers checked, and the response of the last."""
        events = list(self.create(stream=True, **asked))
        self.assertEqual([event.sequence_number for event in events], list(range(len(events))))
        return events, events[-1].response

    def names(self, events):
        """The events' names; that of many pieces once."""
        names = [event.type for event in events]
        return [
            name for at, name in enumerate(names) if not (name.endswith(".delta") and name in names[at - 1 : at])
        ]

    def test_a_stream_has_its_events_in_order(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                events, final = self.streamed(model=model, input="one two three")
                self.assertEqual(self.names(events), BEGIN + TEXT + END)
                pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
                self.assertEqual("".join(pieces), "one two three")
                self.assertGreater(len(pieces), 1)
                self.assertEqual((final.output_text, final.status), ("one two three", "completed"))
                self.assertEqual({event.response.id for event in events[:2]}, {final.id})
                self.assertGreater(final.usage.total_tokens, 0)
                with self.client.responses.stream(model=model, input="one two three") as stream:
                    self.assertEqual(stream.get_final_response().output_text, "one two three")

    def test_a_call_has_its_events_in_order(self):
        for kind, before in (("tools", []), ("thinking", THINKING)):
            for model in self.over(kind):
                with self.subTest(over=model):
                    events, final = self.streamed(model=model, input="x", tools=self.tools)
                    before = [] if model.startswith("responses") else before
                    self.assertEqual(self.names(events), BEGIN + before + CALL + END)
                    self.check_calls(final, ["f"])

    def test_each_of_two_calls_has_its_events_in_order(self):
        for model in self.over("parallel"):
            with self.subTest(over=model):
                events, final = self.streamed(model=model, input="x", tools=self.tools)
                for at, item in enumerate(final.output):
                    its = [event for event in events if getattr(event, "output_index", None) == at]
                    self.assertEqual(self.names(its), CALL)
                    self.assertEqual({getattr(event, "item_id", item.id) for event in its}, {item.id})
                    self.assertEqual(its[-1].item, item)
                self.check_calls(final, ["f", "g"])

    def test_a_call_ends_before_the_next_begins(self):
        for model in self.over("parallel"):
            with self.subTest(over=model):
                events, _ = self.streamed(model=model, input="x", tools=self.tools)
                self.assertEqual(self.names(events), BEGIN + CALL + CALL + END)

    def test_tools_one_and_two_whole_and_streamed(self):
        for wanted, kind in ((["f"], "tools"), (["f", "g"], "parallel")):
            for model in self.over(kind):
                with self.subTest(over=model):
                    asked = dict(model=model, input="x", tools=self.tools)
                    self.check_calls(self.create(**asked), wanted)
                    with self.client.responses.stream(**asked) as stream:
                        self.check_calls(stream.get_final_response(), wanted)

    def check_calls(self, answer, wanted):
        calls = [item for item in answer.output if item.type == "function_call"]
        self.assertEqual([call.name for call in calls], wanted)
        self.assertEqual([json.loads(call.arguments) for call in calls], [{"q": "x"}] * len(wanted))
        self.assertEqual(len({call.call_id for call in calls}), len(wanted))
        self.assertEqual(answer.status, "completed")

    def test_results_go_back_and_thinking_with_them(self):
        for kind in ("parallel", "thinking"):
            for model in self.over(kind):
                with self.subTest(over=model):
                    asked = dict(model=model, tools=self.tools)
                    whole = self.create(input="x", **asked)
                    with self.client.responses.stream(input="x", **asked) as stream:
                        streamed = stream.get_final_response()
                    for first in (whole, streamed):
                        results = [
                            {"type": "function_call_output", "call_id": item.call_id, "output": "sunny"}
                            for item in first.output
                            if item.type == "function_call"
                        ]
                        items = [item.model_dump(exclude_none=True) for item in first.output]
                        # what the SDK's own parsing adds is no field of the dialect's
                        items = [
                            {name: value for name, value in item.items() if name != "parsed_arguments"}
                            for item in items
                        ]
                        second = self.create(input=say("x") + items + results, **asked)
                        self.assertIn("sunny", second.output_text)

    def test_errors_are_the_sdks_own(self):
        self.check_errors(lambda model: self.create(model=model, input="x"))

    def test_errors_before_a_stream_are_the_sdks_own(self):
        self.check_errors(lambda model: list(self.create(model=model, input="x", stream=True)))

    def test_a_cut_off_stream_has_failed_and_has_no_final_response(self):
        for trouble in ("cut 2", "error inside 2"):
            self.upstream.order(f"trouble {trouble}")
            for model in self.over("cut"):
                with self.subTest(over=model, trouble=trouble):
                    asked = dict(model=model, input="one two three four")
                    events, failed = self.streamed(**asked)
                    self.assertEqual(events[-1].type, "response.failed")
                    self.assertEqual(failed.status, "failed")
                    self.assertTrue(failed.error.message)
                    names = {event.type for event in events}
                    self.assertNotIn("response.completed", names)
                    self.assertNotIn("response.output_text.done", names)
                    with self.client.responses.stream(**asked) as stream:
                        with self.assertRaises(RuntimeError):
                            stream.get_final_response()

    def test_a_bad_request_names_its_parameter(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.create(model="openai-echo", input=[{"role": "nobody", "content": "x"}])
        self.assertEqual(caught.exception.param, "input")

    def test_nothing_is_kept(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.responses.retrieve("resp_1")
        self.assertEqual(caught.exception.param, "response_id")
        # an upstream that has responses may know it
        for model in (f"{dialect}-echo" for dialect in DIALECTS):
            with self.subTest(over=model):
                with self.assertRaises(openai.BadRequestError) as caught:
                    self.create(model=model, input="x", previous_response_id="resp_1")
                self.assertIn("previous_response_id", str(caught.exception))

    def test_leaving_is_noticed_upstream(self):
        for model in ("openai-echo", "anthropic-echo", "responses-echo"):
            with self.subTest(over=model):

                def ask(seconds):
                    self.create(model=model, input=LONG, timeout=seconds)

                def stream(seconds):
                    pieces = self.create(model=model, input=LONG, timeout=seconds, stream=True)
                    return iter(pieces), pieces.close

                leave_in_every_phase(self, self.upstream, ask, stream)


class Completions(Doors):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.create = staticmethod(cls.client.completions.create)

    def test_a_completion(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                answer = self.create(model=model, prompt="good day")
                self.assertEqual(answer.object, "text_completion")
                self.assertEqual(answer.choices[0].text, "good day")
                self.assertEqual(answer.choices[0].finish_reason, "stop")
                self.assertGreater(answer.usage.total_tokens, 0)
                self.assertTrue(answer._request_id)

    def test_several_prompts_have_a_choice_each(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                prompts = ["good day", "good night", "good bye"]
                answer = self.create(model=model, prompt=prompts)
                self.assertEqual([choice.text for choice in answer.choices], prompts)
                self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
                texts = ["", "", ""]
                for chunk in self.create(model=model, prompt=prompts, stream=True):
                    texts[chunk.choices[0].index] += chunk.choices[0].text
                self.assertEqual(texts, prompts)

    def test_a_stream(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                asked = dict(model=model, prompt="one two three", stream=True)
                chunks = list(self.create(**asked))
                self.assertEqual("".join(chunk.choices[0].text for chunk in chunks), "one two three")
                self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
                self.assertGreater(len(chunks), 2)
                self.assertTrue(all(chunk.usage is None for chunk in chunks))
                last = list(self.create(stream_options={"include_usage": True}, **asked))[-1]
                self.assertEqual(last.choices, [])
                self.assertGreater(last.usage.total_tokens, 0)

    def test_a_limit_ends_it(self):
        for model in self.over("echo"):
            with self.subTest(over=model):
                asked = dict(model=model, prompt=LONG, max_tokens=3)
                choice = self.create(**asked).choices[0]
                self.assertEqual((choice.text.strip(), choice.finish_reason), ("one two three", "length"))
                chunks = list(self.create(stream=True, **asked))
                self.assertEqual(chunks[-1].choices[0].finish_reason, "length")

    def test_errors_are_the_sdks_own(self):
        self.check_errors(lambda model: self.create(model=model, prompt="x"))

    def test_errors_before_a_stream_are_the_sdks_own(self):
        self.check_errors(lambda model: list(self.create(model=model, prompt="x", stream=True)))

    def test_a_cut_off_stream_raises(self):
        for trouble in ("cut 2", "error inside 2"):
            self.upstream.order(f"trouble {trouble}")
            for model in self.over("cut"):
                with self.subTest(over=model, trouble=trouble):
                    with self.assertRaises(openai.APIError):
                        list(self.create(model=model, prompt="one two three four", stream=True))

    def test_a_bad_request_names_its_parameter(self):
        for param, asked in (
            ("prompt", {"prompt": ""}),
            ("prompt", {"prompt": [1, 2, 3]}),
            ("suffix", {"prompt": "x", "suffix": "y"}),
            ("echo", {"prompt": "x", "echo": True}),
        ):
            with self.subTest(asked=asked):
                with self.assertRaises(openai.BadRequestError) as caught:
                    self.create(model="openai-echo", **asked)
                self.assertEqual(caught.exception.param, param)

    def test_leaving_is_noticed_upstream(self):
        for model in ("openai-echo", "gemini-echo"):
            with self.subTest(over=model):

                def ask(seconds):
                    self.create(model=model, prompt=LONG, timeout=seconds)

                def stream(seconds):
                    pieces = self.create(model=model, prompt=LONG, timeout=seconds, stream=True)
                    return iter(pieces), pieces.close

                leave_in_every_phase(self, self.upstream, ask, stream)


if __name__ == "__main__":
    unittest.main()
