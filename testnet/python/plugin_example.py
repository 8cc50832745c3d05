"""A model of one's own in Python: a plugin that answers in capital letters.

    pip install grpcio grpcio-tools
    python testnet/python/plugin_example.py 127.0.0.1:9000

The stubs are made from the .proto file as it starts. It prints where it listens; a router asks it
once its config has { provider: plugin, model: shout, base_url: "http://127.0.0.1:9000" }.
"""

import json
import pathlib
import sys
import tempfile
from concurrent import futures

import grpc
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
FILE = "llm_router/plugin/v1/backend.proto"


def stubs():
    """The modules that grpcio-tools makes of the .proto file."""
    folder = tempfile.mkdtemp(prefix="plugin-stubs-")
    made = protoc.main(
        ["protoc", f"-I{PROTO}", f"--python_out={folder}", f"--grpc_python_out={folder}", FILE]
    )
    if made != 0:
        raise SystemExit(f"{FILE} could not be compiled")
    sys.path.insert(0, folder)
    from llm_router.plugin.v1 import backend_pb2, backend_pb2_grpc

    return backend_pb2, backend_pb2_grpc


pb, services = stubs()


class Shout(services.BackendServiceServicer):
    def Describe(self, request, context):
        return pb.DescribeResponse(
            name="shout",
            models=["shout"],
            capabilities=pb.Capabilities(tools=False, vision=False, prefill=False),
            uncarried_parameters=["logprobs"],
        )

    def Generate(self, request, context):
        question = json.loads(request.request)
        last = question["messages"][-1]["content"]
        if not isinstance(last, str):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the last message has no text")
        words = last.upper().split()
        for word in words:
            if not context.is_active():  # the caller has gone
                return
            yield pb.GenerateEvent(text=word + " ")
        yield pb.GenerateEvent(finish=pb.Finish(reason=pb.FINISH_REASON_STOP))
        yield pb.GenerateEvent(
            usage=pb.Usage(prompt_tokens=len(words), completion_tokens=len(words))
        )


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    services.add_BackendServiceServicer_to_server(Shout(), server)
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9000"
    port = server.add_insecure_port(address)
    server.start()
    print(f"http://{address.rsplit(':', 1)[0]}:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
