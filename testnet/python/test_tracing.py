"""One trace from a gRPC client through two nodes to the upstream, without generated code."""

import json
import os
import pathlib
import secrets
import subprocess
import time
import unittest
import urllib.request

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from node import Node
from upstream import Upstream

FLY = "llm_router.cluster.v1.CacheService/Fly"
GENERATE = "llm_router.v1.RouterService/Generate"
# enough that some keys are the asked node's and some the other's
QUESTIONS = 12
# spans leave a node each second; all have come when none has for so long
QUIET_SECONDS = 4
LIMIT_SECONDS = 90


def fetch(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as response:
        return json.load(response)


def wait(what, seconds=LIMIT_SECONDS):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


class Collector:
    """The testnet's own, in a process of its own."""

    def __init__(self):
        own = pathlib.Path(os.environ["LLM_ROUTER_BIN"]).with_name("llm-router-testnet")
        binary = os.environ.get("LLM_ROUTER_TESTNET_BIN", str(own))
        self.process = subprocess.Popen(
            [binary, "collect", "--otlp", "127.0.0.1:0", "--http", "127.0.0.1:0"],
            stdout=subprocess.PIPE, text=True,
        )
        self.endpoint = self.process.stdout.readline().split()[1]
        self.url = self.process.stdout.readline().split()[1].removesuffix("/traces")

    def quiet(self):
        known, since = -1, time.monotonic()

        def nothing_came():
            nonlocal known, since
            received = fetch(f"{self.url}/health")["received"]
            if received != known:
                known, since = received, time.monotonic()
            return time.monotonic() - since >= QUIET_SECONDS

        wait(nothing_came)

    def trace(self, trace):
        return fetch(f"{self.url}/traces/{trace}")["spans"]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.process.stdout.close()


class Tracing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.collector = Collector()
        cls.addClassCleanup(cls.collector.stop)
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.stop)
        telemetry = f'telemetry: {{ otlp_endpoint: "{cls.collector.endpoint}" }}\n'
        model = f'models:\n  gpt: {{ provider: openai, model: scripted, base_url: "{cls.upstream.url}/v1" }}\n'
        first = Node("node: { id: n1 }\n" + model + telemetry)
        cls.addClassCleanup(first.stop)
        join = f'cluster: {{ join: ["{first.cluster}"] }}\n'
        second = Node("node: { id: n2 }\n" + join + telemetry)
        cls.addClassCleanup(second.stop)
        cls.nodes = [first, second]

        def settled():
            peers = [node.get("/admin/v1/cache").get("peers") or {} for node in cls.nodes]
            return all(one.get("nodes") == 2 and not one.get("moving") for one in peers)

        wait(settled)

    def generate(self, node, prompt):
        """Asks inside a trace of its own; gives the trace, the client's span, and the answer."""
        trace, span = secrets.token_hex(16), secrets.token_hex(8)
        with grpc.insecure_channel(node.grpc) as channel:
            pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
            service, name = GENERATE.split("/")
            method = pool.FindServiceByName(service).FindMethodByName(name)
            request = GetMessageClass(method.input_type)
            call = channel.unary_unary(
                f"/{GENERATE}",
                request_serializer=request.SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            metadata = [("traceparent", f"00-{trace}-{span}-01")]
            answer = call(request(prompt=prompt, model="gpt"), timeout=20, metadata=metadata)
        return trace, span, answer

    def test_one_trace_goes_through_two_nodes_to_the_upstream(self):
        asked = []
        for number in range(QUESTIONS):
            told = self.generate(self.nodes[0], f"what is on page {number}?")
            asked.append((*told, self.upstream.order("headers")["traceparent"]))
        self.collector.quiet()
        through_both = 0
        for trace, client, answer, sent_on in asked:
            self.assertFalse(answer.cached)
            spans = self.collector.trace(trace)
            only = lambda **wanted: [
                span for span in spans if all(span[key] == value for key, value in wanted.items())
            ]
            (door,) = only(name=GENERATE, kind="server", node="n1")
            self.assertEqual(door["parent"], client)
            (request,) = only(name="chat gpt", kind="internal", parent=door["id"])
            (lookup,) = only(name="cache_lookup", parent=request["id"])
            (_,) = only(name="queue_wait gpt", parent=request["id"])
            (attempt,) = only(name="chat scripted", kind="client", parent=request["id"])
            self.assertEqual(attempt["attributes"]["gen_ai.operation.name"], "chat")
            self.assertEqual(sent_on, f"00-{trace}-{attempt['id']}-01")
            if all(span["node"] == "n1" for span in spans):
                self.assertEqual(len(spans), 5)
                continue
            through_both += 1
            (asks,) = only(name=FLY, kind="client", node="n1", parent=lookup["id"])
            (answers,) = only(name=FLY, kind="server", node="n2", parent=asks["id"])
            self.assertEqual(answers["attributes"]["llm_router.answer"], "lead")
            self.assertEqual(len(spans), 7)
        self.assertGreater(through_both, 0)


if __name__ == "__main__":
    unittest.main()
