"""LiteRT (TensorFlow Lite) with XNNPACK, which it takes of its own accord."""
from ai_edge_litert.interpreter import Interpreter

from benchmarks.peer_runtimes import tflite_model


class LiteRt:
    """Takes and gives (N, H, W, C); whoever calls turns the images, outside of the timed call."""

    def __init__(self, threads):
        self.threads = threads

    def build(self, graph, images):
        """A function: x (images, ...) -> list of the graph's outputs."""
        interpreter = Interpreter(model_content=tflite_model.model(graph, images), num_threads=self.threads)
        interpreter.allocate_tensors()
        source = interpreter.get_input_details()[0]["index"]
        results = [detail["index"] for detail in interpreter.get_output_details()]

        def run(x):
            interpreter.set_tensor(source, x)
            interpreter.invoke()
            return [interpreter.get_tensor(result) for result in results]

        return run
