"""gRPC without generated code: everything a client needs comes by reflection."""

import unittest

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status
from node import Node

PACKAGE = "llm_router.v1"


class Reflection(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.stop)
        cls.channel = grpc.insecure_channel(cls.node.grpc)
        cls.addClassCleanup(cls.channel.close)
        cls.database = ProtoReflectionDescriptorDatabase(cls.channel)
        cls.pool = DescriptorPool(cls.database)

    def method(self, service, name):
        """A callable and the class of its request."""
        method = self.pool.FindServiceByName(f"{PACKAGE}.{service}").FindMethodByName(name)
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        make = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        call = make(
            f"/{PACKAGE}.{service}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return call, request

    def test_services_are_listed(self):
        services = set(self.database.get_services())
        wanted = {f"{PACKAGE}.RouterService", f"{PACKAGE}.StatsService", "grpc.health.v1.Health"}
        self.assertLessEqual(wanted, services)

    def test_the_health_service_says_serving(self):
        stub = health_pb2_grpc.HealthStub(self.channel)
        for service in ("", f"{PACKAGE}.RouterService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING, service)

    def test_generate_answers(self):
        generate, request = self.method("RouterService", "Generate")
        answer = generate(request(prompt="hello there", model="echo"), timeout=10)
        self.assertEqual(answer.content, "hello there")
        self.assertEqual(answer.model_used, "echo")
        self.assertTrue(answer.request_id)

    def test_stream_generate_starts_speaks_and_finishes(self):
        generate, request = self.method("RouterService", "StreamGenerate")
        events = list(generate(request(prompt="one two three", model="echo"), timeout=10))
        kinds = [event.WhichOneof("event") for event in events]
        self.assertEqual((kinds[0], kinds[-1]), ("start", "finish"))
        text = "".join(event.delta for event in events if event.WhichOneof("event") == "delta")
        self.assertEqual(text, "one two three")

    def test_a_deadline_is_deadline_exceeded(self):
        generate, request = self.method("RouterService", "Generate")
        with self.assertRaises(grpc.RpcError) as caught:
            generate(request(prompt="x", model="slow"), timeout=0.5)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_the_routers_own_timeout_is_deadline_exceeded_from_the_server(self):
        generate, request = self.method("RouterService", "Generate")
        with self.assertRaises(grpc.RpcError) as caught:
            generate(request(prompt="x", model="slow", timeout_ms=300), timeout=10)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertIsNotNone(rpc_status.from_call(caught.exception))

    def test_errors_carry_their_details(self):
        generate, request = self.method("RouterService", "Generate")
        with self.assertRaises(grpc.RpcError) as caught:
            generate(request(prompt="x", model="no-such-model"), timeout=10)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        info = error_details_pb2.ErrorInfo()
        details = rpc_status.from_call(caught.exception).details
        self.assertTrue(any(detail.Unpack(info) for detail in details), details)
        self.assertEqual(info.domain, "llm-router")

    def test_stats_are_counted(self):
        stats, request = self.method("StatsService", "GetStats")
        generate, question = self.method("RouterService", "Generate")
        before = stats(request(), timeout=10).total_requests
        generate(question(prompt="count me", model="echo"), timeout=10)
        self.assertEqual(stats(request(), timeout=10).total_requests, before + 1)


if __name__ == "__main__":
    unittest.main()
