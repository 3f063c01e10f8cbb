"""Every runtime by name: what it needs, and how it makes a function of a model."""
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from benchmarks.peer_runtimes import graph, npcbnet_itself
from npcbnet.exits import leaves

TINY = np.finfo(np.float32).tiny
COMPILERS = ("g++", "clang++")


@dataclass(frozen=True)
class Runtime:
    """open: threads -> program, and program: (model, images at once) -> function of x (N, C, H, W).

    packages: {name to import: name on PyPI}. channels_last: the function takes and gives (N, H, W, C).
    """

    open: Callable
    packages: dict
    compiler: bool = False
    channels_last: bool = False

    def missing(self):
        """What this machine lacks, as words; empty where the runtime can run."""
        lacks = [name for name in self.packages if importlib.util.find_spec(name) is None]
        return lacks + (["a C++ compiler"] if self.compiler and not any(map(shutil.which, COMPILERS)) else [])

    def versions(self):
        """{name on PyPI: version}."""
        return {name: metadata.version(name) for name in self.packages.values() if name != "npcbnet"}


def programs(engine):
    """The program of an engine, whose build(graph, images) gives a function: x -> list of the graph's outputs."""
    def program(model, images):
        if graph.kind(model) == "branchynet":
            return in_two_parts(engine.build, model, images)
        run = engine.build(graph.whole(model), images)
        return lambda x: run(x)[0]
    return program


def in_two_parts(build, model, images):
    """A BranchyNet as its user would run it on such an engine: the trunk only for the images that stay."""
    first, second = graph.two_parts(model)
    stem_and_branch, trunks = build(first, images), {}

    def run(x):
        p, shared = stem_and_branch(x)
        entropy = -(p * np.log(np.maximum(p, TINY))).sum(axis=1)
        stay = np.flatnonzero(~leaves(entropy, model.threshold))
        if len(stay) == 0:
            return p
        if len(stay) not in trunks:  # in the peers' favour: ready for exactly so many images from the second call on
            trunks[len(stay)] = build(second, len(stay))
        if len(stay) == len(x):
            return trunks[len(stay)](shared)[0]
        p[stay] = trunks[len(stay)](shared[stay])[0]
        return p

    return run


def torch(how):
    """open of PyTorch; how: "eager", "jit" or "inductor"."""
    def open_torch(threads):
        from benchmarks.peer_runtimes.torch_net import Torch
        return programs(Torch(how, threads))
    return open_torch


def onnx_runtime(threads):
    """open of ONNX Runtime."""
    from benchmarks.peer_runtimes.onnx_runtimes import OnnxRuntime
    return programs(OnnxRuntime(threads))


def openvino(threads):
    """open of OpenVINO."""
    from benchmarks.peer_runtimes.onnx_runtimes import OpenVino
    return programs(OpenVino(threads))


def litert(threads):
    """open of LiteRT."""
    from benchmarks.peer_runtimes.litert import LiteRt
    return programs(LiteRt(threads))


TORCH, ONNX = {"torch": "torch"}, {"onnx": "onnx"}
RUNTIMES = {
    "npcbnet": Runtime(npcbnet_itself.compiled, {"npcbnet.runtime": "npcbnet"}),
    "torch": Runtime(torch("eager"), TORCH),
    "jit": Runtime(torch("jit"), TORCH),
    "inductor": Runtime(torch("inductor"), TORCH, compiler=True),
    "ort": Runtime(onnx_runtime, {"onnxruntime": "onnxruntime", **ONNX}),
    "litert": Runtime(litert, {"ai_edge_litert": "ai-edge-litert", "flatbuffers": "flatbuffers"}, channels_last=True),
    "openvino": Runtime(openvino, {"openvino": "openvino", **ONNX}),
    "layers": Runtime(npcbnet_itself.layers, {"npcbnet": "npcbnet"}),
}
