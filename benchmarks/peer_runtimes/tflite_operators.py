"""A Graph's steps as operators of a .tflite, (N, H, W, C) throughout, as TensorFlow has it."""
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks.peer_runtimes.errors import PeerError
from benchmarks.peer_runtimes.graph import mean_alpha
from benchmarks.peer_runtimes.tflite_file import CODES

NO_ACTIVATION = schema.ActivationFunctionType.NONE
ACTIVATIONS = {"relu": schema.ActivationFunctionType.RELU, "relu6": schema.ActivationFunctionType.RELU6}
LOWEST = np.finfo(np.float32).min  # padding that never is a maximum
PIXELS = (1, 2)  # the axes of rows and columns


def conv2d(writer, step, activation, x):
    x, padding = writer.padded(step, x, fill=0)
    weight, stride, groups = step.params["weight"], step.fields["stride"], step.fields["groups"]
    settings = {"padding": padding, "strideW": stride, "strideH": stride, "fusedActivationFunction": activation}
    code, options, order = CODES.CONV_2D, schema.Conv2DOptionsT, (0, 2, 3, 1)
    if 1 < groups == step.fields["in_channels"]:
        code, options, order = CODES.DEPTHWISE_CONV_2D, schema.DepthwiseConv2DOptionsT, (1, 2, 3, 0)
        settings["depthMultiplier"] = len(weight) // groups
    inputs = [x, writer.constant(weight.transpose(order)), writer.constant(step.params["bias"])]
    return writer.operator(code, inputs, writer.out(step), options, **settings)


def pool(code, fill):
    """The translation of a pooling layer; fill: what the pixels around the image hold."""
    def translate(writer, step, activation, x):
        if step.fields.get("count_pad") and step.fields["pad"]:
            raise PeerError("LiteRT: no translation of a mean that counts its padding")
        x, padding = writer.padded(step, x, fill)
        kernel, stride = step.fields["kernel"], step.fields["stride"]
        return writer.operator(code, [x], writer.out(step), schema.Pool2DOptionsT, padding=padding, strideW=stride,
                               strideH=stride, filterWidth=kernel, filterHeight=kernel,
                               fusedActivationFunction=activation)
    return translate


def dense(writer, step, activation, x):
    inputs = [x, writer.constant(step.params["weight"].T), writer.constant(step.params["bias"])]
    return writer.operator(CODES.FULLY_CONNECTED, inputs, writer.out(step), schema.FullyConnectedOptionsT,
                           fusedActivationFunction=activation)


def reshape(writer, step, activation, x):
    """Flatten, too. Where features become several channels, they come channel by channel and have to be turned."""
    turned = len(step.shape) == 3 and step.shape[0] > 1
    shape = (writer.images, *step.shape) if turned else writer.out(step)
    x = writer.operator(CODES.RESHAPE, [x, writer.constant(shape, np.int32)], shape, schema.ReshapeOptionsT,
                        newShape=list(shape))
    if not turned:
        return x
    return writer.operator(CODES.TRANSPOSE, [x, writer.constant([0, 2, 3, 1], np.int32)], writer.out(step),
                           schema.TransposeOptionsT)


def clip(writer, step, activation, x):
    for code, bound in ((CODES.MINIMUM, step.fields["high"]), (CODES.MAXIMUM, step.fields["low"])):
        x = writer.operator(code, [x, writer.constant(bound)], writer.out(step), schema.MaximumMinimumOptionsT)
    return x


def softmax(writer, step, activation, x):
    y = writer.operator(CODES.SOFTMAX, [x], writer.out(step), schema.SoftmaxOptionsT, beta=1.0)
    if step.fields["total"] == 1:
        return y
    return writer.operator(CODES.MUL, [y, writer.constant(step.fields["total"])], writer.out(step), schema.MulOptionsT)


def brightest(writer, step, activation, x):
    most = writer.operator(CODES.REDUCE_MAX, [x, writer.constant([1, 2, 3], np.int32)], (writer.images, 1, 1, 1),
                           schema.ReducerOptionsT, keepDims=True)
    return writer.operator(CODES.DIV, [x, most], writer.out(step), schema.DivOptionsT)


def globalpool2d(code):
    """The translation of global pooling."""
    def translate(writer, step, activation, x):
        return writer.operator(code, [x, writer.constant(PIXELS, np.int32)], writer.out(step), schema.ReducerOptionsT,
                               keepDims=True)
    return translate


def leakyrelu(writer, step, activation, x):
    return writer.operator(CODES.LEAKY_RELU, [x], writer.out(step), schema.LeakyReluOptionsT,
                           alpha=step.fields["slope"])


def localresponsenorm(writer, step, activation, x):
    fields = step.fields
    return writer.operator(CODES.LOCAL_RESPONSE_NORMALIZATION, [x], writer.out(step),
                           schema.LocalResponseNormalizationOptionsT, radius=fields["size"] // 2, bias=fields["k"],
                           alpha=mean_alpha(step) / fields["size"], beta=fields["beta"])


def upsample2d(writer, step, activation, x):
    return writer.operator(CODES.RESIZE_BILINEAR, [x, writer.constant(step.shape[1:], np.int32)], writer.out(step),
                           schema.ResizeBilinearOptionsT, halfPixelCenters=True)


def plain(code, options=None):
    """The translation of an operator without weights or settings."""
    def translate(writer, step, activation, *inputs):
        fields = {} if activation == NO_ACTIVATION else {"fusedActivationFunction": activation}
        return writer.operator(code, inputs, writer.out(step), options, **fields)
    return translate


OPERATORS = {  # (writer, step, activation to take along, tensors) -> tensor
    "add": plain(CODES.ADD, schema.AddOptionsT),
    "avgpool2d": pool(CODES.AVERAGE_POOL_2D, fill=None),
    "brightest": brightest,
    "clip": clip,
    "conv2d": conv2d,
    "dense": dense,
    "flatten": reshape,
    "globalavgpool2d": globalpool2d(CODES.MEAN),
    "globalmaxpool2d": globalpool2d(CODES.REDUCE_MAX),
    "leakyrelu": leakyrelu,
    "localresponsenorm": localresponsenorm,
    "maxpool2d": pool(CODES.MAX_POOL_2D, fill=LOWEST),
    "relu": plain(CODES.RELU),
    "relu6": plain(CODES.RELU6),
    "reshape": reshape,
    "sigmoid": plain(CODES.LOGISTIC),
    "softmax": softmax,
    "tanh": plain(CODES.TANH),
    "upsample2d": upsample2d,
}
