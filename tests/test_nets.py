"""The nets: sizes as the paper's, any other shape, real exits, answers that do not depend on the company."""
import numpy as np
import pytest

from npcbnet.errors import NpcbnetError, ShapeError
from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import Conv2d, Dense, Flatten, ReLU, Sequential, initialise
from npcbnet.nets import (TABLE_I, CBNet, Classifier, ConvConverter, ConvConverterConfig, Converter, ConverterConfig,
                          branchynet_lenet, lenet, lightweight, truncate)
from npcbnet.nets import model as nets_model
from npcbnet.nets.images import as_images

NAMES = tuple("0123456789")
MNIST = (1, 28, 28)
COUNT = 150 if COMPILED else 8
FAST = ConverterConfig((64, 16), ("relu", "linear"), halve_input=True, halve_output=True)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def some_images(rng, count=COUNT, shape=MNIST):
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8)


def all_models(rng, shape=MNIST, names=NAMES):
    net = branchynet_lenet(shape, names, rng, threshold=1.0)
    return [lenet(shape, names, rng), net, lightweight(net),
            CBNet(Converter(FAST, shape).initialise(rng), lightweight(net))]


def test_sizes_are_those_of_the_authors_code(rng):
    net = branchynet_lenet(MNIST, NAMES, rng)
    baseline, light = lenet(MNIST, NAMES, rng), lightweight(net)
    assert (baseline.macs(), baseline.parameter_count()) == (1_140_070, 67_824)
    assert (light.macs(), light.parameter_count()) == (220_150, 7_000)
    assert (net.macs(), net.parameter_count()) == (1_247_720, 74_694)
    assert abs(net.macs(exit_rate=0.9488) - 272_800) < 100


@pytest.mark.parametrize("name, macs, parameters", [("mnist", 953_088, 955_072), ("fmnist", 665_600, 667_280),
                                                    ("kmnist", 635_392, 637_104)])
def test_table_one(name, macs, parameters, rng):
    converter = Converter(TABLE_I[name], MNIST).initialise(rng)
    assert converter.macs() == macs
    assert sum(array.size for array in converter.params.values()) == parameters


def test_lightweight_shares_branchynets_weights(rng):
    net = branchynet_lenet(MNIST, NAMES, rng)
    light = lightweight(net)
    assert all(any(mine is theirs for theirs in net.params.values()) for mine in light.params.values())


@pytest.mark.parametrize("shape, classes", [((1, 28, 28), 2), ((3, 32, 32), 7), ((1, 5, 9), 3), ((2, 1, 1), 4)])
def test_other_shapes_and_class_counts_build_and_predict(shape, classes, rng):
    names = tuple(f"class {i}" for i in range(classes))
    net = branchynet_lenet(shape, names, rng, threshold=0.5)
    for model in (lenet(shape, names, rng), net, lightweight(net)):
        p = model.predict_proba(some_images(rng, 5, shape))
        assert p.shape == (5, classes)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


def test_shapes_that_cannot_work_are_refused(rng):
    with pytest.raises(ShapeError, match="even sides"):
        Converter(FAST, (1, 27, 28))
    with pytest.raises(ShapeError, match="two classes"):
        lenet(MNIST, ("only",), rng)
    with pytest.raises(ShapeError, match="input_shape"):
        Classifier(Sequential([Flatten(), Dense(4, 2)]), (1, 0, 4), ("a", "b"))
    with pytest.raises(ShapeError, match="3 classes"):
        Classifier(Sequential([Flatten(), Dense(4, 2)]), (1, 2, 2), ("a", "b", "c"))
    with pytest.raises(ShapeError, match="threshold"):
        branchynet_lenet(MNIST, NAMES, rng, threshold=float("nan"))


def test_an_answer_does_not_depend_on_the_company(rng):
    """Bit for bit: alone, in any batch, at any place in it. Exits and entropies too."""
    images = some_images(rng)
    for model in all_models(rng):
        together = model.explain(images)
        for size in (1, 3, 9, 70):
            for start in range(0, min(len(images), 3 * size), size):
                part = model.explain(images[start:start + size])
                here = slice(start, start + size)
                assert np.array_equal(part.entropy, together.entropy[here]), (model.kind, size)
                assert np.array_equal(part.exit, together.exit[here])
                assert np.array_equal(part.confidence, together.confidence[here])


def test_branchynet_answers_from_the_exit_it_names(rng):
    images = some_images(rng)
    net = branchynet_lenet(MNIST, NAMES, rng)
    early, late = net.both_exits(images)
    net.threshold = entropy_median(early)
    answer = net.explain(images)
    assert 0 < (answer.exit == 1).mean() < 1
    expected = np.where(answer.exit == 1, early.argmax(axis=1), late.argmax(axis=1))
    assert np.array_equal(answer.label, expected)


def entropy_median(logits):
    """Median entropy in nats, from the definition."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
    p = e / e.sum(axis=1, keepdims=True)
    return float(np.median(-(p * np.log(p)).sum(axis=1)))


def test_the_trunk_is_not_run_for_images_that_left(rng, monkeypatch):
    images = some_images(rng)
    net = branchynet_lenet(MNIST, NAMES, rng)
    net.threshold = entropy_median(net.both_exits(images)[0])
    seen = []
    forward = net.trunk.forward
    monkeypatch.setattr(net.trunk, "forward", lambda x, *rest: seen.append(len(x)) or forward(x, *rest))
    exits = net.explain(images).exit
    assert sum(seen) == (exits == 2).sum() < len(images)
    net.threshold, seen[:] = 10.0, []
    net.predict(images)
    assert seen == []


def test_thresholds_zero_and_infinity(rng):
    net, images = branchynet_lenet(MNIST, NAMES, rng), some_images(rng, 10)
    assert (net.explain(images).exit == 2).all()
    net.threshold = float("inf")
    assert (net.explain(images).exit == 1).all()


@pytest.mark.parametrize("count", [0, 1])
def test_few_or_no_images(count, rng):
    for model in all_models(rng):
        labels = model.predict(some_images(rng, count))
        assert labels.shape == (count,) and labels.dtype == np.int64
        assert model.predict_proba(some_images(rng, count)).shape == (count, 10)
        assert model.explain(some_images(rng, count)).exit.shape == (count,)


def test_predict_takes_the_documented_shapes_and_types(rng):
    model = all_models(rng)[-1]
    images = some_images(rng, 6)
    labels = model.predict(images)
    assert np.array_equal(model.predict(images[:, 0]), labels)
    assert np.array_equal(model.predict(images[3, 0]), labels[3:4])
    assert np.array_equal(model.predict(np.asfortranarray(images)), labels)
    assert np.array_equal(model.predict(list(images)), labels)
    for floats in (images / 255, (images / 255).astype(np.float32)):
        np.testing.assert_allclose(model.predict_proba(floats), model.predict_proba(images), atol=1e-5)
    colour = lightweight(branchynet_lenet((3, 8, 8), NAMES, rng))
    assert colour.predict(np.zeros((3, 8, 8), np.uint8)).shape == (1,)


@pytest.mark.parametrize("images, words", [
    (np.zeros((2, 1, 27, 28), np.uint8), "1x28x28"),
    (np.zeros((2, 3, 28, 28), np.uint8), "1x28x28"),
    (np.zeros(784, np.uint8), "1x28x28"),
    (np.zeros((1, 28, 28), np.int64), "uint8"),
    (np.zeros((1, 28, 28), bool), "uint8"),
    (np.full((28, 28), 255.0), "255"),
    (np.full((28, 28), -0.1), "0..1"),
    (np.full((28, 28), np.nan), "NaN"),
    (np.array([["a"]]), "do not fit"),
    ([np.zeros((28, 28)), np.zeros((27, 28))], "same size"),
    (None, "do not fit"),
    ("mnist.png", "a file's name"),
])
def test_what_predict_refuses(images, words, rng):
    model = lightweight(branchynet_lenet(MNIST, NAMES, rng))
    with pytest.raises(NpcbnetError, match=words):
        model.predict(images)


def test_explain_of_a_cbnet_shows_the_converted_images(rng):
    model, images = all_models(rng)[-1], some_images(rng, 4)
    answer = model.explain(images)
    assert answer.converted.shape == (4, *MNIST)
    assert answer.converted.min() >= 0 and answer.converted.max() <= 1
    assert np.array_equal(answer.converted, model.convert(images))
    assert np.array_equal(answer.label, model.classifier.predict(answer.converted))


@pytest.mark.parametrize("form", [
    FAST, ConverterConfig((16,), ("relu",), output="softmax", total=50.0),
    ConverterConfig((16,), ("relu",), output="sigmoid"),
    ConverterConfig((32, 8), ("relu", "linear"), True, True, "linear", residual=True)])
def test_every_form_of_converter_makes_pictures(form, rng):
    shape = (3, 8, 12)
    converter = Converter(form, shape).initialise(rng)
    pictures = converter.convert(some_images(rng, 5, shape))
    assert pictures.shape == (5, *shape) and 0 <= pictures.min() <= pictures.max() <= 1
    raw, _, _ = converter.forward(np.full((2, *shape), 0.5, np.float32))
    if form.output == "softmax":
        np.testing.assert_allclose(raw.sum(axis=(1, 2, 3)), 50, rtol=1e-4)


@pytest.mark.skipif(not COMPILED, reason="images go one by one without compilation")
def test_a_converter_of_large_maps_takes_few_images_at_a_time(rng, monkeypatch):
    shape = (1, 20, 20)
    made = ConvConverter(ConvConverterConfig((32, 4), (1, 2)), shape).initialise(rng)
    model = CBNet(made, lenet(shape, NAMES, rng))
    assert made.peak() == 32 * 20 * 20 == model.converter.encoder.peak(shape)
    assert Converter(FAST, (1, 28, 28)).peak() == 28 * 28
    images, seen, forward = some_images(rng, 10, shape), [], made.encoder.forward
    whole = model.explain(images)
    monkeypatch.setattr(nets_model, "LARGEST_MAP", 3 * made.peak())
    monkeypatch.setattr(made.encoder, "forward", lambda x, *rest: seen.append(len(x)) or forward(x, *rest))
    np.testing.assert_array_equal(model.convert(images), whole.converted)
    np.testing.assert_array_equal(model.explain(images).label, whole.label)
    assert seen == [3, 3, 3, 1] * 2


def test_a_residual_converter_that_adds_nothing_changes_nothing(rng):
    converter = Converter(ConverterConfig((8,), ("relu",), residual=True), MNIST).initialise(rng)
    for array in converter.decoder.params.values():
        array[:] = 0
    images = some_images(rng, 3)
    np.testing.assert_allclose(converter.convert(images), images / 255, atol=1e-6)


@pytest.mark.parametrize("changes, words", [
    ({"hidden": ()}, "activation"), ({"activations": ("tanh",)}, "relu"), ({"output": "exp"}, "linear"),
    ({"residual": True, "output": "sigmoid"}, "residual")])
def test_converter_configurations_that_make_no_sense(changes, words):
    with pytest.raises(ShapeError, match=words):
        ConverterConfig(**{"hidden": (4,), "activations": ("relu",), **changes})


def test_truncation_shares_layers_and_fits_an_output(rng):
    net = initialise(Sequential([Conv2d(1, 3, 3), ReLU(), Conv2d(3, 4, 3), ReLU(), Flatten(), Dense(64, 10)]), rng)
    for layers in range(1, 6):
        cut = truncate(net, layers, (1, 8, 8), 10)
        assert cut.output_shape((1, 8, 8)) == (10,)
        assert cut[0] is net[0]
    for layers in (0, 6, 7):
        with pytest.raises(ShapeError, match="cut after"):
            truncate(net, layers, (1, 8, 8), 10)


def test_as_images_does_not_copy_uint8(rng):
    images = some_images(rng, 3)
    assert np.shares_memory(as_images(images, MNIST), images)
