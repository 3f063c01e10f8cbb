"""A Graph as an ONNX model, which ONNX Runtime and OpenVINO both read."""
import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from benchmarks.peer_runtimes.graph import mean_alpha, translation

OPSET, IR_VERSION = 18, 9


class Writer:
    """Collects nodes and weights; both are known by name."""

    def __init__(self, images):
        self.images, self.nodes, self.weights = images, [], []

    def constant(self, array, dtype=np.float32):
        """The name of a new initializer that holds the array."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype).reshape(np.shape(array)), name))
        return name

    def node(self, operator, *inputs, **attributes):
        """The name of a new node's output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name


def window(step):
    """The attributes that convolution and pools share."""
    fields = step.fields
    return {"kernel_shape": [fields["kernel"]] * 2, "strides": [fields["stride"]] * 2, "pads": [fields["pad"]] * 4}


def conv2d(writer, step, x):
    return writer.node("Conv", x, writer.constant(step.params["weight"]), writer.constant(step.params["bias"]),
                       group=step.fields["groups"], **window(step))


def dense(writer, step, x):
    return writer.node("Gemm", x, writer.constant(step.params["weight"]), writer.constant(step.params["bias"]))


def maxpool2d(writer, step, x):
    return writer.node("MaxPool", x, ceil_mode=int(step.fields["ceil_mode"]), **window(step))


def avgpool2d(writer, step, x):
    return writer.node("AveragePool", x, ceil_mode=int(step.fields["ceil_mode"]),
                       count_include_pad=int(step.fields["count_pad"]), **window(step))


def localresponsenorm(writer, step, x):
    fields = step.fields
    return writer.node("LRN", x, size=fields["size"], alpha=mean_alpha(step), beta=fields["beta"], bias=fields["k"])


def clip(writer, step, x):
    return writer.node("Clip", x, writer.constant(step.fields["low"]), writer.constant(step.fields["high"]))


def softmax(writer, step, x):
    y, total = writer.node("Softmax", x, axis=1), step.fields["total"]
    return y if total == 1 else writer.node("Mul", y, writer.constant(total))


def brightest(writer, step, x):
    return writer.node("Div", x, writer.node("ReduceMax", x, writer.constant([1, 2, 3], np.int64), keepdims=1))


def relu6(writer, step, x):
    return writer.node("Clip", x, writer.constant(0), writer.constant(6))


def reshape(writer, step, x):
    return writer.node("Reshape", x, writer.constant([writer.images, *step.shape], np.int64))


def upsample2d(writer, step, x):
    return writer.node("Resize", x, "", writer.constant([1, 1, 2, 2]), mode="linear",
                       coordinate_transformation_mode="half_pixel")


NODES = {  # (writer, step, values) -> value
    "add": lambda writer, step, x, y: writer.node("Add", x, y),
    "avgpool2d": avgpool2d,
    "brightest": brightest,
    "clip": clip,
    "conv2d": conv2d,
    "dense": dense,
    "flatten": lambda writer, step, x: writer.node("Flatten", x),
    "globalavgpool2d": lambda writer, step, x: writer.node("GlobalAveragePool", x),
    "globalmaxpool2d": lambda writer, step, x: writer.node("GlobalMaxPool", x),
    "leakyrelu": lambda writer, step, x: writer.node("LeakyRelu", x, alpha=step.fields["slope"]),
    "localresponsenorm": localresponsenorm,
    "maxpool2d": maxpool2d,
    "relu": lambda writer, step, x: writer.node("Relu", x),
    "relu6": relu6,
    "reshape": reshape,
    "sigmoid": lambda writer, step, x: writer.node("Sigmoid", x),
    "softmax": softmax,
    "tanh": lambda writer, step, x: writer.node("Tanh", x),
    "upsample2d": upsample2d,
}


def model(graph, images):
    """The bytes of an ONNX model that takes "x", (images, ...) float32."""
    writer, values = Writer(images), ["x"]
    for step in graph.steps:
        values.append(translation(NODES, step, "ONNX")(writer, step, *(values[i] for i in step.inputs)))

    def described(value):
        return helper.make_tensor_value_info(values[value], TensorProto.FLOAT, [images, *graph.shape(value)])

    outputs = [described(value) for value in graph.outputs]
    body = helper.make_graph(writer.nodes, "npcbnet", [described(0)], outputs, writer.weights)
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(made, full_check=True)
    return made.SerializeToString()
