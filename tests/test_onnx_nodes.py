"""Our layers and losses against ONNX's node cases, stored by make_onnx_nodes.py; ONNX's own tolerances.

Where a layer says the same in other words, the case is translated first: padding is put around the picture,
a transposed matrix is handed over transposed, alpha and beta are multiplied into the weights. What cannot be said
at all is in LACKING.
"""
import json

import numpy as np
import pytest

from npcbnet import losses
from npcbnet.layers import AvgPool2d, Clip, Conv2d, Dense, Flatten, MaxPool2d, ReLU, Reshape, Sigmoid, Softmax
from tests.make_onnx_nodes import FILE, NAMES

with np.load(FILE, allow_pickle=False) as stored:
    ARRAYS = {name: stored[name] for name in stored.files}
CASES = json.loads(str(ARRAYS["cases"]))

LACKING = {
    "averagepool_2d_pads": "AvgPool2d has no padding beyond half its kernel that its mean leaves out",
    "averagepool_2d_same_upper": "AvgPool2d has no padding on two sides only that its mean leaves out",
    "gemm_default_matrix_bias": "Dense has one bias an output, not one for every image and output",
    "tanh": "no Tanh layer", "tanh_example": "no Tanh layer",
    "add": "no Add layer", "add_bcast": "no Add layer",
}


def arrays(name, kind):
    count = sum(key.startswith(f"{name}/{kind}") for key in ARRAYS)
    return [ARRAYS[f"{name}/{kind}{i}"] for i in range(count)]


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
    layer = Conv2d(weight.shape[1], weight.shape[0], kernel, stride, pad)
    layer.params = {"weight": weight, "bias": np.zeros(len(weight), weight.dtype)}
    return layer.forward(filled(x, 0))[0]


def max_pool(attributes, x):
    kernel, stride, pad, x = window(attributes, x)
    layer = MaxPool2d(kernel, stride, pad, bool(attributes.get("ceil_mode")))
    return layer.forward(filled(x, -np.inf))[0]


def average_pool(attributes, x):
    kernel, stride, pad, x = window(attributes, x)
    layer = AvgPool2d(kernel, stride, pad, bool(attributes.get("ceil_mode")), bool(attributes.get("count_include_pad")))
    return layer.forward(filled(x, 0))[0]


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
    return np.moveaxis(function(moved.reshape(-1, moved.shape[-1])).reshape(moved.shape), -1, axis)


def cross_entropy(attributes, z, labels):
    if attributes["reduction"] == "none":
        return np.array([losses.cross_entropy(z[i:i + 1], labels[i:i + 1])[0] for i in range(len(z))])
    return np.array(losses.cross_entropy(z, labels, count={"mean": len(z), "sum": 1}[attributes["reduction"]])[0])


RUN = {
    "Conv": conv, "MaxPool": max_pool, "AveragePool": average_pool,
    "GlobalAveragePool": lambda attributes, x: AvgPool2d(x.shape[2]).forward(x)[0],
    "Gemm": gemm, "MatMul": gemm,
    "Softmax": lambda attributes, x: along(lambda rows: Softmax().forward(rows)[0], x, attributes.get("axis", -1)),
    "LogSoftmax": lambda attributes, x: along(losses.log_softmax, x, attributes.get("axis", -1)),
    "Relu": lambda attributes, x: ReLU().forward(x)[0],
    "Sigmoid": lambda attributes, x: Sigmoid().forward(x)[0],
    "Flatten": lambda attributes, x: Flatten().forward(x)[0],
    "Reshape": lambda attributes, x, shape: Reshape(shape.tolist()).forward(x.reshape(1, -1))[0][0],
    "Clip": lambda attributes, x, low, high: Clip(float(low), float(high)).forward(x)[0],
    "SoftmaxCrossEntropyLoss": cross_entropy,
}


def test_the_file_holds_every_case_of_the_list():
    assert sorted(CASES) == sorted(NAMES) and len(NAMES) == 58
    assert FILE.stat().st_size < 500_000


@pytest.mark.parametrize("name", NAMES)
def test_node(name):
    if name in LACKING:
        pytest.skip(LACKING[name])
    wanted = arrays(name, "out")[0]
    result = RUN[CASES[name]["op"]](CASES[name]["attributes"], *arrays(name, "in"))
    assert result.shape == wanted.shape
    np.testing.assert_allclose(result, wanted, rtol=1e-3, atol=1e-7)


def test_the_gradient_goes_where_onnx_says_the_maximum_lies():
    name = "maxpool_with_argmax_2d_precomputed_pads"
    (x,), (y, places) = arrays(name, "in"), arrays(name, "out")
    kernel, stride, pad, x = window(CASES[name]["attributes"], x)
    _, backward = MaxPool2d(kernel, stride, pad, ceil_mode=False).forward(x, train=True)
    for output in np.ndindex(y.shape):
        dy = np.zeros_like(y)
        dy[output] = 1
        assert backward(dy)[0].reshape(-1).argmax() == places[output]
