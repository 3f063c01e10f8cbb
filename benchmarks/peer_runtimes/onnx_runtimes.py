"""ONNX Runtime and OpenVINO: both read what onnx_model writes."""
import numpy as np

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
    """The CPU device, for latency, in float32 (left alone it computes in bfloat16 where the processor can).

    Tensors are set and read one by one: calling the compiled model does the same, but takes 30 µs more in Python.
    """

    def __init__(self, threads):
        import openvino
        self.core, self.tensor = openvino.Core(), openvino.Tensor
        self.options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                        "INFERENCE_PRECISION_HINT": "f32"}

    def build(self, graph, images):
        """A function: x (images, ...) -> list of the graph's outputs."""
        model = self.core.read_model(onnx_model.model(graph, images))
        request = self.core.compile_model(model, "CPU", self.options).create_infer_request()
        outputs = range(len(graph.outputs))

        def run(x):
            request.set_input_tensor(self.tensor(x, shared_memory=True))
            request.infer()
            return [np.array(request.get_output_tensor(i).data) for i in outputs]

        return run
