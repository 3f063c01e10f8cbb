"""What the comparison makes of a model for each peer answers as the model does; needs the peers (extra `peers`)."""
import numpy as np
import pytest

from benchmarks.peer_runtimes import graph, turns
from benchmarks.peer_runtimes.errors import PeerError
from benchmarks.peer_runtimes.npcbnet_itself import answers
from benchmarks.peer_runtimes.runtimes import RUNTIMES
from benchmarks.peer_runtimes.worker import Desk
from npcbnet.layers import (LAYERS, AvgPool2d, BatchNorm2d, Clip, Conv2d, ConvTranspose2d, Dense, Dropout, Flatten,
                            GlobalAvgPool2d, GlobalMaxPool2d, LeakyReLU, LocalResponseNorm, MaxPool2d, ReLU, ReLU6,
                            Reshape, Residual, Sequential, Sigmoid, Softmax, Tanh, Upsample2d)
from npcbnet.nets import CBNet, Classifier, Converter, ConverterConfig, branchynet_lenet, lenet, lightweight

CLASSES = ("a", "b", "c")
# No model of the comparison has one
NOT_TRANSLATED = {"activeconv2d", "activedense", "concatenate", "convtranspose2d", "padchannels", "quantizedconv2d",
                  "quantizeddense"}
PEERS = [pytest.param(name, marks=[pytest.mark.slow] if name == "inductor" else []) for name in turns.ALL_PEERS]


def randomised(net, rng):
    """The net with every parameter drawn: weights of about unit gain, variances above 0."""
    shapes = net.param_shapes()
    net.params = {name: (rng.uniform(0.5, 2, shape) if name.endswith("running_var") else
                         rng.normal(0, 1 / np.sqrt(max(1, np.prod(shape[1:]))), shape)).astype(np.float32)
                  for name, shape in shapes.items()}
    return net


def classifier(shape, *layers):
    """A Classifier of `shape` images: these layers, then a dense one."""
    rng, flat = np.random.default_rng(0), [] if isinstance(layers[-1], Flatten) else [Flatten()]
    net = Sequential([*layers, *flat])
    net = Sequential([*net, Dense(net.output_shape(shape)[0], len(CLASSES))])
    return Classifier(randomised(net, rng), shape, CLASSES)


def converter(shape, activations=("relu", "linear"), **form):
    """A Converter of `shape` images, biased so that its picture is neither black nor white."""
    made = Converter(ConverterConfig((7, 5), activations, **form), shape)
    for part in (made.encoder, made.decoder):
        randomised(part, np.random.default_rng(1))
    return made


def depthwise(channels, **fields):
    return Conv2d(channels, channels, 3, groups=channels, bias=False, **fields)


IMAGES = (3, 9, 8)
MODELS = {
    "conv": lambda: classifier(IMAGES, Conv2d(3, 4, 3), ReLU()),
    "conv-same": lambda: classifier(IMAGES, Conv2d(3, 4, 5, pad=2), ReLU6()),
    "conv-wide": lambda: classifier(IMAGES, Conv2d(3, 4, 5, pad=3), MaxPool2d(2), ReLU()),
    "conv-stride": lambda: classifier(IMAGES, Conv2d(3, 4, 3, stride=2, pad=1), Tanh()),
    "conv-groups": lambda: classifier(IMAGES, Conv2d(3, 6, 1, groups=3), Conv2d(6, 4, 3, groups=2, bias=False)),
    "depthwise": lambda: classifier(IMAGES, depthwise(3, stride=2, pad=1), BatchNorm2d(3), ReLU6()),
    "batchnorm": lambda: classifier(IMAGES, BatchNorm2d(3), Conv2d(3, 4, 3), BatchNorm2d(4), LeakyReLU(0.2),
                                    BatchNorm2d(4)),
    "batchnorm-shared": lambda: classifier(IMAGES, Conv2d(3, 4, 3), Residual(Sequential([BatchNorm2d(4), ReLU()]))),
    "residual": lambda: classifier(IMAGES, Conv2d(3, 4, 3), Residual(Sequential([ReLU(), depthwise(4, pad=1)])),
                                   ReLU()),
    "shortcut": lambda: classifier(IMAGES, Residual(Sequential([Conv2d(3, 4, 3, stride=2), ReLU()]),
                                                    Sequential([Conv2d(3, 4, 3, stride=2), BatchNorm2d(4)]))),
    "pool-ceil": lambda: classifier(IMAGES, MaxPool2d(2), MaxPool2d(3, stride=2), Sigmoid()),
    "pool-floor": lambda: classifier(IMAGES, MaxPool2d(2, ceil_mode=False)),
    "pool-padded": lambda: classifier(IMAGES, Conv2d(3, 2, 3), MaxPool2d(3, stride=2, pad=1), ReLU()),
    "mean": lambda: classifier(IMAGES, AvgPool2d(2), LocalResponseNorm(3, 0.1, 0.75, 2.0, "sum")),
    "mean-padded": lambda: classifier(IMAGES, AvgPool2d(3, stride=1, pad=1)),
    "mean-ceil": lambda: classifier(IMAGES, AvgPool2d(2, ceil_mode=True), LocalResponseNorm(5, 0.5, 0.5, 1.0, "mean")),
    "global": lambda: classifier(IMAGES, Conv2d(3, 4, 3), ReLU(), GlobalAvgPool2d()),
    "global-max": lambda: classifier(IMAGES, Conv2d(3, 4, 3), ReLU(), GlobalMaxPool2d()),
    "flat": lambda: classifier(IMAGES, Flatten(), ReLU(), Dropout(0.5), Dense(216, 12), Sigmoid(), Clip(0.2, 0.7),
                               Softmax(3.5), Reshape([3, 2, 2]), Upsample2d(), Conv2d(3, 2, 2), Flatten()),
    "lenet": lambda: lenet((1, 28, 28), CLASSES, np.random.default_rng(0)),
    "lightweight": lambda: lightweight(branchynet_lenet((3, 17, 20), CLASSES, np.random.default_rng(0))),
    "converter": lambda: converter((1, 6, 4)),
    "converter-colour": lambda: converter((3, 6, 4), output="sigmoid"),
    "converter-softmax": lambda: converter((1, 6, 4), output="softmax", total=20.0),
    "converter-halved": lambda: converter((3, 6, 4), halve_input=True, halve_output=True),
    "converter-residual": lambda: converter((1, 6, 4), ("linear", "relu"), residual=True),
    "cbnet": lambda: CBNet(converter((3, 9, 8), output="softmax"), MODELS["conv-wide"]()),
}


def ready(runtime):
    """The table's entry, if it can run here."""
    missing = RUNTIMES[runtime].missing()
    if missing:
        pytest.skip(f"{runtime} needs {', '.join(missing)}")
    return RUNTIMES[runtime]


def agrees(runtime, model, count):
    """Raise PeerError unless the runtime answers as the model does, twice, in arrays of its own."""
    entry = ready(runtime)
    rng = np.random.default_rng(2)
    inputs = [rng.random((count, *model.input_shape), np.float32) for _ in range(2)]
    desk = Desk(entry.open(1), model, entry.channels_last)
    turns.check(runtime, desk.prepare(inputs)[2], [answers(model)(x) for x in inputs])
    first = desk.function(desk.inputs[0])
    kept = np.array(first)
    desk.function(desk.inputs[1])
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("runtime", PEERS)
def test_a_translation_answers_as_the_model(runtime, name):
    model = MODELS[name]()
    for count in (1, 5) if runtime != "inductor" else (5,):
        agrees(runtime, model, count)


@pytest.mark.parametrize("runtime", PEERS)
def test_a_branchynet_leaves_where_the_model_leaves(runtime):
    net = branchynet_lenet((3, 12, 14), CLASSES, np.random.default_rng(0))
    images = np.random.default_rng(2).random((7, 3, 12, 14), np.float32)
    for threshold in (0.0, float(np.median(net.explain(images).entropy)) + 1e-3, 9.0):
        net.threshold = threshold
        agrees(runtime, net, 7)
        agrees(runtime, net, 1)


@pytest.mark.parametrize("runtime", PEERS)
def test_a_layer_without_translation_is_an_error_that_names_it(runtime):
    entry = ready(runtime)
    model = classifier(IMAGES, ConvTranspose2d(3, 2, 3))
    with pytest.raises(PeerError, match="no translation of 'convtranspose2d'"):
        entry.open(1)(model, 2)


def test_every_layer_is_translated_and_tested():
    used = {step.op for make in MODELS.values() for step in graph.whole(make()).steps}
    folded = {"batchnorm2d", "dropout", "residual"}
    assert used - {"add", "brightest"} == set(LAYERS) - NOT_TRANSLATED - folded
    for runtime, module, tables in (("torch", "torch_net", ("MODULES", "FUNCTIONS")), ("ort", "onnx_model", ("NODES",)),
                                    ("litert", "tflite_operators", ("OPERATORS",))):
        if not RUNTIMES[runtime].missing():
            module = pytest.importorskip(f"benchmarks.peer_runtimes.{module}")
            assert used == {op for table in tables for op in getattr(module, table)}
