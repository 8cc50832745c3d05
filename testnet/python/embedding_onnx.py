"""onnxruntime's side of the embedding bench: the same weights as an ONNX graph, timed on demand.

    embedding_onnx.py WEIGHTS_DIR [CORE]

Builds the model's graph from the safetensors file (no hub, no exporter), with onnxruntime's own
fused operators (attention, skip-layer-norm, bias-GELU), and a second one whose products are
dynamically quantised to int8. Then answers one line at a time on standard input:

    run f32|int8 TOKENS TEXTS REPEATS     -> the milliseconds of every run, as a JSON list
    vector f32|int8 ID ID ...             -> the unit vector of these tokens, as a JSON list

The text is always the same words, so that both sides of the bench compute the same.
"""

import json
import os
import struct
import sys
import tempfile
import time
from pathlib import Path

if len(sys.argv) > 2:
    os.sched_setaffinity(0, {int(sys.argv[2])})

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

LAYERS, HEADS, HIDDEN, EPSILON = 6, 12, 384, 1e-12
WORDS = [101] + [2129, 2079, 1045, 2693, 1996, 3116, 2013, 9857, 2012, 2093, 2000, 9432] * 30


def read_safetensors(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        body = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(body[start:end], np.float32).reshape(entry["shape"])
    return tensors


def graph(weights, fused_attention):
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind, inputs, output, domain="", **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output

    def weight(name):
        return constant(name, weights[name])

    def product(x, name, out):
        return node("MatMul", [x, constant(name + ".T", weights[name + ".weight"].T)], out)

    def skip_norm(x, skip, bias, name, out):
        inputs = [x, skip, weight(name + ".weight"), weight(name + ".bias"), weight(bias)]
        return node("SkipLayerNormalization", inputs, out, "com.microsoft", epsilon=EPSILON)

    table = weights["embeddings.position_embeddings.weight"]
    table = table + weights["embeddings.token_type_embeddings.weight"][0]
    words = node("Gather", [weight("embeddings.word_embeddings.weight"), "ids"], "words")
    length = node("Shape", ["ids"], "length", start=1, end=2)
    zero, one = constant("zero", np.array([0])), constant("one", np.array([0]))
    places = node("Slice", [constant("places", table), zero, length, one], "position")
    summed = node("Add", [words, places], "summed")
    name = "embeddings.LayerNorm"
    x = node(
        "LayerNormalization",
        [summed, weight(name + ".weight"), weight(name + ".bias")],
        "embedded",
        epsilon=EPSILON,
        axis=-1,
    )
    for number in range(LAYERS):
        at = f"encoder.layer.{number}."
        parts = [at + f"attention.self.{part}" for part in ("query", "key", "value")]
        merged = np.concatenate([weights[part + ".weight"].T for part in parts], axis=1)
        bias = np.concatenate([weights[part + ".bias"] for part in parts])
        merged, bias = constant(at + "qkv", merged), constant(at + "qkv.bias", bias)
        if fused_attention:
            context = node(
                "Attention", [x, merged, bias], at + "context", "com.microsoft", num_heads=HEADS
            )
        else:
            qkv = node("MatMul", [x, merged], at + "qkv.raw")
            qkv = node("Add", [qkv, bias], at + "qkv.sum")
            split = [at + part for part in ("q", "k", "v")]
            nodes.append(helper.make_node("Split", [qkv], split, axis=-1, num_outputs=3))
            context = node(
                "MultiHeadAttention", split, at + "context", "com.microsoft", num_heads=HEADS
            )
        out = product(context, at + "attention.output.dense", at + "attended")
        name = at + "attention.output."
        x = skip_norm(out, x, name + "dense.bias", name + "LayerNorm", at + "middle")
        wide = product(x, at + "intermediate.dense", at + "wide")
        bias = weight(at + "intermediate.dense.bias")
        wide = node("BiasGelu", [wide, bias], at + "gelu", "com.microsoft")
        out = product(wide, at + "output.dense", at + "narrow")
        x = skip_norm(out, x, at + "output.dense.bias", at + "output.LayerNorm", at + "out")
    axes = constant("axes", np.array([1]))
    node("ReduceMean", [x, axes], "mean", keepdims=0)
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["texts", "tokens"])
    mean = helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["texts", HIDDEN])
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(
        helper.make_graph(nodes, "encoder", [ids], [mean], constants), opset_imports=imports
    )
    model.ir_version = 9
    return model


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def best(sessions):
    """Of two builds of one model, the one that is faster for a short text."""
    ids = np.array([WORDS[:8] + [102]])

    def took(one):
        times = []
        for _ in range(30):
            started = time.perf_counter()
            one.run(None, {"ids": ids})
            times.append(time.perf_counter() - started)
        return min(times)

    return min(sessions, key=took)


def build(folder, weights):
    plain, quantised = [], []
    for fused in (True, False):
        path = Path(folder) / f"f32-{fused}.onnx"
        onnx.save(graph(weights, fused), path)
        plain.append(session(path))
        for per_channel in (False, True):
            small = Path(folder) / f"int8-{fused}-{per_channel}.onnx"
            quantize_dynamic(
                path,
                small,
                weight_type=QuantType.QInt8,
                per_channel=per_channel,
                op_types_to_quantize=["MatMul", "Attention"],
                extra_options={"DefaultTensorType": TensorProto.FLOAT},
            )
            quantised.append(session(small))
    return {"f32": best(plain), "int8": best(quantised)}


def main():
    weights = read_safetensors(Path(sys.argv[1]) / "model.safetensors")
    with tempfile.TemporaryDirectory() as folder:
        sessions = build(folder, weights)
    print("ready", flush=True)
    for line in sys.stdin:
        verb, kind, *rest = line.split()
        one = sessions[kind]
        if verb == "vector":
            (mean,) = one.run(None, {"ids": np.array([[int(word) for word in rest]])})[0]
            print(json.dumps((mean / np.linalg.norm(mean)).tolist()), flush=True)
            continue
        tokens, texts, repeats = (int(word) for word in rest)
        ids = np.array([WORDS[: tokens - 1] + [102]] * texts)
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            one.run(None, {"ids": ids})
            times.append((time.perf_counter() - started) * 1e3)
        print(json.dumps(times), flush=True)


main()
