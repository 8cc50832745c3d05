"""The Python plugin, asked through a node."""

import pathlib
import subprocess
import sys
import unittest

import openai
from node import Node

EXAMPLE = pathlib.Path(__file__).with_name("plugin_example.py")


class Plugin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plugin = subprocess.Popen(
            [sys.executable, str(EXAMPLE), "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
        )
        cls.addClassCleanup(cls.end)
        url = cls.plugin.stdout.readline().strip()
        cls.node = Node(
            "models:\n"
            f"  own: {{ provider: plugin, model: shout, base_url: '{url}' }}\n"
        )
        cls.addClassCleanup(cls.node.stop)
        cls.client = openai.OpenAI(
            base_url=f"http://{cls.node.http}/v1", api_key="unused", max_retries=0
        )

    @classmethod
    def end(cls):
        cls.plugin.terminate()
        cls.plugin.wait(timeout=20)
        cls.plugin.stdout.close()

    def ask(self, content, **parameters):
        messages = [{"role": "user", "content": content}]
        return self.client.chat.completions.create(model="own", messages=messages, **parameters)

    def test_a_question_is_answered_and_counted(self):
        answer = self.ask("say it louder")
        self.assertEqual(answer.choices[0].message.content.strip(), "SAY IT LOUDER")
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertEqual(answer.usage.prompt_tokens, 3)

    def test_a_stream_comes_word_by_word(self):
        chunks = list(self.ask("once more please", stream=True))
        words = [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content]
        self.assertEqual(words, ["ONCE ", "MORE ", "PLEASE "])
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")

    def test_what_the_plugin_refuses_is_the_callers_to_mend(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.ask([{"type": "text", "text": "parts"}])
        self.assertEqual(caught.exception.body["message"], "the last message has no text")


if __name__ == "__main__":
    unittest.main()
