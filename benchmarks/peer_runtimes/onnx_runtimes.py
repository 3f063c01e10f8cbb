"""ONNX Runtime and OpenVINO: both read what onnx_model writes."""
from benchmarks.peer_runtimes import onnx_model


class OnnxRuntime:
    """The CPU provider with all graph optimisations."""

    def __init__(self, threads):
        import onnxruntime
        self.library = onnxruntime
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads, self.options.inter_op_num_threads = threads, 1
        self.options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL

    def build(self, graph, images):
        """A function: x (images, ...) -> list of the graph's outputs."""
        session = self.library.InferenceSession(onnx_model.model(graph, images), self.options,
                                                providers=["CPUExecutionProvider"])
        return lambda x: session.run(None, {"x": x})


class OpenVino:
    """The CPU device, for latency, in float32 (left alone it computes in bfloat16 where the processor can)."""

    def __init__(self, threads):
        import openvino
        self.core = openvino.Core()
        self.options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                        "INFERENCE_PRECISION_HINT": "f32"}

    def build(self, graph, images):
        """A function: x (images, ...) -> list of the graph's outputs."""
        net = self.core.compile_model(self.core.read_model(onnx_model.model(graph, images)), "CPU", self.options)
        return lambda x: list(net([x]).values())
