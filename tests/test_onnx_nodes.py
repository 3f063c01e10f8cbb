"""Our operators against ONNX's node cases, stored by make_onnx_nodes.py; ONNX's own tolerances.

Where an operator says the same in other words, the case is translated first: padding is put around the picture, a
transposed matrix is handed over transposed, alpha and beta are multiplied into the weights. What cannot be said at all
is in LACKING.
"""
import json
import math

import numpy as np
import pytest

from npcbnet import losses
from npcbnet.layers import (AvgPool2d, BatchNorm2d, Clip, Conv2d, ConvTranspose2d, Dense, Dropout, Flatten,
                            GlobalAvgPool2d, GlobalMaxPool2d, Layer, LeakyReLU, LocalResponseNorm, MaxPool2d,
                            QuantizedConv2d, QuantizedDense, ReLU, Reshape, Residual, Sigmoid, Softmax, Tanh)
from npcbnet.optim import SGD, Adam
from npcbnet.quantize import dequantize, dynamic_quantize, quantize
from tests.make_onnx_nodes import FILE, NAMES

with np.load(FILE, allow_pickle=False) as stored:
    ARRAYS = {name: stored[name] for name in stored.files}
CASES = json.loads(str(ARRAYS["cases"]))

LACKING = {
    "gemm_default_matrix_bias": "Dense has one bias an output, not one for every image and output",
    "add_bcast": "Residual, our only addition, adds arrays of one shape",
    "nllloss_NC": "our losses start from logits, not from log-probabilities",
    "argmax_no_keepdims_example": "labels are NumPy's own argmax; there is no operator of ours to judge",
    "argmax_no_keepdims_random": "labels are NumPy's own argmax; there is no operator of ours to judge",
}


def arrays(name, kind):
    count = sum(key.startswith(f"{name}/{kind}") for key in ARRAYS)
    return [ARRAYS[f"{name}/{kind}{i}"] for i in range(count)]


def arguments(name):
    """The case's inputs in the operator's order, None for one that is left out."""
    given = iter(arrays(name, "in"))
    return [next(given) if field else None for field in CASES[name]["inputs"]]


def padding(attributes, x, kernel, stride):
    """((top, bottom), (left, right)) from `pads` or `auto_pad`, as ONNX's specification of Conv defines them."""
    if "pads" in attributes:
        top, left, bottom, right = attributes["pads"]
        return (top, bottom), (left, right)
    if "auto_pad" not in attributes:
        return (0, 0), (0, 0)
    totals = [max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in x.shape[2:]]
    if attributes["auto_pad"] == "SAME_UPPER":
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((total - total // 2, total // 2) for total in totals)


def window(attributes, x):
    """(kernel, stride, pad, x): pad is 0 and x padded with NaN where the padding is not the same on all sides."""
    kernel, stride = attributes["kernel_shape"][0], attributes.get("strides", [1])[0]
    (top, bottom), (left, right) = padding(attributes, x, kernel, stride)
    if top == bottom == left == right and 2 * top <= kernel:
        return kernel, stride, top, x
    framed = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=np.nan)
    return kernel, stride, 0, framed


def filled(x, value):
    return np.nan_to_num(x, nan=value, posinf=np.inf, neginf=-np.inf)


def conv(attributes, x, weight):
    kernel, stride, pad, x = window(attributes, x)
    layer = Conv2d(weight.shape[1], weight.shape[0], kernel, stride, pad, bias=False)
    layer.params = {"weight": weight}
    return layer.forward(filled(x, 0))[0]


def conv_transpose(attributes, x, weight):
    """Zeros between the pixels stand for a stride that differs by axis; outputs are cut to what `pads` leaves."""
    dilation, groups = attributes.get("dilations", [1])[0], attributes.get("group", 1)
    spread = np.zeros((*weight.shape[:2], *(dilation * (side - 1) + 1 for side in weight.shape[2:])), weight.dtype)
    spread[:, :, ::dilation, ::dilation] = weight
    strides, kernel = attributes.get("strides", [1, 1]), spread.shape[2]
    wanted, first = [], []
    for i, (side, stride) in enumerate(zip(x.shape[2:], strides)):
        full = (side - 1) * stride + kernel + attributes.get("output_padding", [0, 0])[i]
        begin, end = (attributes.get("pads", [0] * 4)[j] for j in (i, i + 2))
        size = full - begin - end
        if attributes.get("auto_pad") == "SAME_UPPER":
            size = side * stride
            begin = (full - size) // 2
        wanted.append(attributes.get("output_shape", [size, size])[i])
        first.append(begin)
    stride = strides[0]
    if strides[1] != stride:
        apart = np.zeros((*x.shape[:2], *(side * step for side, step in zip(x.shape[2:], strides))), x.dtype)
        apart[:, :, ::strides[0], ::strides[1]] = x
        x, stride = apart, 1
    layer = ConvTranspose2d(len(weight), weight.shape[1] * groups, kernel, stride, 0, stride - 1, groups, bias=False)
    layer.params = {"weight": spread}
    y = layer.forward(x)[0]
    return y[:, :, first[0]:first[0] + wanted[0], first[1]:first[1] + wanted[1]]


def max_pool(attributes, x):
    kernel, stride, pad, x = window(attributes, x)
    layer = MaxPool2d(kernel, stride, pad, bool(attributes.get("ceil_mode")))
    return layer.forward(filled(x, -np.inf) if x.dtype.kind == "f" else x)[0]


def average_pool(attributes, x):
    """Padding on two sides only: as much on all four, all windows, and of them those that ONNX looks through."""
    kernel, stride = attributes["kernel_shape"][0], attributes.get("strides", [1])[0]
    (top, bottom), (left, right) = padding(attributes, x, kernel, stride)
    pad = max(top, bottom, left, right)
    ceil_mode, count_pad = bool(attributes.get("ceil_mode")), bool(attributes.get("count_include_pad"))
    if top == bottom == left == right:
        return AvgPool2d(kernel, stride, pad, ceil_mode, count_pad).forward(x)[0]
    P, Q = (1 + (side - kernel) // stride for side in (x.shape[2] + top + bottom, x.shape[3] + left + right))
    every = AvgPool2d(kernel, 1, pad, False, False).forward(x)[0]
    return every[:, :, pad - top::stride, pad - left::stride][:, :, :P, :Q]


def gemm(attributes, a, b, c=None):
    a = a.T if attributes.get("transA") else a
    b = (b.T if attributes.get("transB") else b) * np.float32(attributes.get("alpha", 1))
    bias = np.zeros(b.shape[1], b.dtype) if c is None else c.reshape(-1) * np.float32(attributes.get("beta", 1))
    layer = Dense(*b.shape)
    layer.params = {"weight": np.ascontiguousarray(b), "bias": bias}
    return layer.forward(a)[0]


def along(function, x, axis):
    """function over rows (N, D), applied along any axis of x."""
    moved = np.moveaxis(x, axis, -1)
    result = function(moved.reshape(-1, moved.shape[-1]))
    return np.moveaxis(result.reshape(*moved.shape[:-1], -1), -1, axis)


def reduce_sum(attributes, x, axes):
    """A Dense whose weights are 1 adds up its features."""
    (axis,) = axes
    ones = np.ones((x.shape[axis], 1), x.dtype)
    return along(lambda rows: gemm({}, rows, ones), x, axis).squeeze(axis)


class Given(Layer):
    """A layer whose output is given."""

    def __init__(self, y):
        super().__init__()
        self.y = y

    def forward(self, x, train=False, rng=None):
        return self.y, None


def cross_entropy(attributes, z, labels, weights=None):
    log_p = losses.log_softmax(z)
    each = [losses.cross_entropy(z[i:i + 1], labels[i:i + 1])[0] for i in range(len(z))]
    if attributes["reduction"] == "none":
        return np.array(each), log_p
    if weights is not None:
        return np.average(each, weights=weights[labels]), log_p
    count = {"mean": len(z), "sum": 1}[attributes["reduction"]]
    return np.array(losses.cross_entropy(z, labels, count)[0]), log_p


def batch_norm(attributes, x, weight, bias, mean, variance):
    """ONNX moves the variance towards the biased one, we and PyTorch towards the unbiased one: put back by hand."""
    momentum = 1 - attributes.get("momentum", 0.9)
    layer = BatchNorm2d(x.shape[1], attributes.get("epsilon", 1e-5), momentum)
    layer.params = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    y, backward = layer.forward(x, train=bool(attributes.get("training_mode")))
    if backward is None:
        return y
    grads, count = backward(np.zeros_like(y))[1], x[:, 0].size
    measured = (variance - grads["running_var"] / momentum) * (count - 1) / count
    return y, mean - grads["running_mean"], (1 - momentum) * variance + momentum * measured


def adam(attributes, rate, count, *state):
    """x, g, m, v of each parameter, all x first; norm_coefficient is a decay of the weights. Returns all x, m, v."""
    x, g, m, v = (dict(enumerate(state[i:i + len(state) // 4])) for i in range(0, len(state), len(state) // 4))
    optimiser = Adam(float(rate), attributes["alpha"], attributes["beta"], attributes["epsilon"], fold_epsilon=True)
    optimiser.restore({f"{kind}.{i}": array for kind, arrays in (("m", m), ("v", v)) for i, array in arrays.items()}
                      | {"step": (int(count) or 10 ** 9) - 1})  # at 0 ONNX corrects no bias, as we late in training
    x = {str(i): array.copy() for i, array in x.items()}
    decay = np.float32(attributes["norm_coefficient"])
    optimiser.update(x, {str(i): gradient + decay * x[str(i)] for i, gradient in g.items()})
    return (*x.values(), *optimiser.m.values(), *optimiser.v.values())


def momentum(attributes, rate, count, x, g, u):
    optimiser = SGD(rate, np.float32(attributes["alpha"]), attributes["mode"] == "nesterov")
    optimiser.restore({"u.x": u})
    x = x.copy()
    scale = np.float32(attributes["beta"] if count > 0 else 1)
    optimiser.update({"x": x}, {"x": (g + np.float32(attributes["norm_coefficient"]) * x) * scale})
    return x, optimiser.u["x"]


def lrn(attributes, x):
    names = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}  # and the defaults of ONNX
    return LocalResponseNorm(attributes["size"], *(attributes.get(name, value) for name, value in names.items()),
                             "mean").forward(x)[0]


def reshape(attributes, x, shape):
    sides = [int(side) if side > 0 else x.size // -math.prod(shape.tolist()) for side in shape]
    return Reshape(sides).forward(x.reshape(1, -1))[0][0]


def clip(attributes, x, low=None, high=None):
    most = float(np.finfo(np.float32).max)
    return Clip(-most if low is None else float(low), most if high is None else float(high)).forward(x)[0]


def dropout(attributes, x, ratio=0.5, training=False):
    return Dropout(float(ratio)).forward(x, bool(training), np.random.default_rng(0))[0]


def shifted(x, zero_point=0, axis=0):
    """8-bit integers less their zero point (or one for each index along `axis`), as our layers' `sums` take them."""
    shape = [-1 if i == axis and np.size(zero_point) > 1 else 1 for i in range(x.ndim)]
    return x.astype(np.float64) - np.asarray(zero_point, np.float64).reshape(shape)


def integer_matmul(attributes, a, b, a_zero=0, b_zero=0):
    return QuantizedDense(*b.shape).sums(shifted(a, a_zero), shifted(b, b_zero, 1)).astype(np.int32)


def integer_conv(attributes, x, weight, x_zero=0, weight_zero=0):
    kernel, stride, pad, x = window({"kernel_shape": weight.shape[2:], **attributes}, shifted(x, x_zero))
    layer = QuantizedConv2d(weight.shape[1], weight.shape[0], kernel, stride, pad)
    return layer.sums(x, shifted(weight, weight_zero)).astype(np.int32)


def requantized(product):
    """ONNX's QLinear form of a product of integers: sums times both scales, quantised anew."""
    def run(attributes, a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
        sums = product(attributes, a, b, a_zero, b_zero)
        return quantize(sums * (a_scale * b_scale), y_scale, y_zero)
    return run


RUN = {
    "Conv": conv, "ConvTranspose": conv_transpose, "MaxPool": max_pool, "AveragePool": average_pool,
    "GlobalAveragePool": lambda attributes, x: GlobalAvgPool2d().forward(x)[0],
    "GlobalMaxPool": lambda attributes, x: GlobalMaxPool2d().forward(x)[0],
    "Gemm": gemm, "MatMul": gemm, "ReduceSum": reduce_sum, "LRN": lrn, "BatchNormalization": batch_norm,
    "Softmax": lambda attributes, x: along(lambda rows: Softmax().forward(rows)[0], x, attributes.get("axis", -1)),
    "LogSoftmax": lambda attributes, x: along(losses.log_softmax, x, attributes.get("axis", -1)),
    "Relu": lambda attributes, x: ReLU().forward(x)[0],
    "LeakyRelu": lambda attributes, x: LeakyReLU(attributes.get("alpha", 0.01)).forward(x)[0],
    "Sigmoid": lambda attributes, x: Sigmoid().forward(x)[0],
    "Tanh": lambda attributes, x: Tanh().forward(x)[0],
    "Flatten": lambda attributes, x: Flatten().forward(x)[0],
    "Add": lambda attributes, x, y: Residual(Given(y)).forward(x)[0],
    "Reshape": reshape, "Clip": clip, "Dropout": dropout,
    "SoftmaxCrossEntropyLoss": cross_entropy, "Adam": adam, "Momentum": momentum,
    "QuantizeLinear": lambda attributes, *inputs: quantize(*inputs, attributes.get("axis", 1)),
    "DequantizeLinear": lambda attributes, *inputs: dequantize(*inputs, attributes.get("axis", 1)),
    "MatMulInteger": integer_matmul, "ConvInteger": integer_conv,
    "QLinearMatMul": requantized(integer_matmul), "QLinearConv": requantized(integer_conv),
    "DynamicQuantizeLinear": lambda attributes, x: dynamic_quantize(x),
}


def test_the_file_holds_every_case_of_the_list():
    assert sorted(CASES) == sorted(NAMES) and len(NAMES) == 111
    assert FILE.stat().st_size < 500_000
    assert set(LACKING) < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_node(name):
    if name in LACKING:
        pytest.skip(LACKING[name])
    wanted, operator = arrays(name, "out"), CASES[name]["op"]
    results = RUN[operator](CASES[name]["attributes"], *arguments(name))
    results = results if isinstance(results, tuple) else (results,)
    assert len(results) >= len(wanted) - (operator == "MaxPool")  # where its maxima lie is judged below
    for result, expected in zip(results, wanted):
        assert result.shape == expected.shape
        assert (result.dtype.kind == "f") == (expected.dtype.kind == "f")
        np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in NAMES if "argmax_2d" in name])
def test_the_gradient_goes_where_onnx_says_the_maximum_lies(name):
    (x,), (y, places), attributes = arrays(name, "in"), arrays(name, "out"), CASES[name]["attributes"]
    kernel, stride, pad, x = window(attributes, x)
    _, backward = MaxPool2d(kernel, stride, pad, ceil_mode=False).forward(x, train=True)
    for output in np.ndindex(y.shape):
        dy = np.zeros_like(y)
        dy[output] = 1
        image = backward(dy)[0][0, 0]  # storage_order 1 counts column by column
        assert (image.T if attributes.get("storage_order") else image).reshape(-1).argmax() == places[output]
