"""Damaged weights are refused; overflowing ones give what the layers say, never a confident label, no early exit."""
import numpy as np
import pytest

from npcbnet import runtime
from npcbnet.errors import UsageError
from npcbnet.layers import (AvgPool2d, BatchNorm2d, Clip, Conv2d, ConvTranspose2d, Dense, Flatten, GlobalAvgPool2d,
                            GlobalMaxPool2d, LeakyReLU, LocalResponseNorm, MaxPool2d, ReLU, ReLU6, Residual, Sequential,
                            Sigmoid, Softmax, Tanh, Upsample2d)
from npcbnet.nets import BranchyNet, CBNet, Classifier, Converter, ConverterConfig, branchynet_lenet
from tests.runtime_models import TARGETS, filled, kernels, names, needs_engine, some_images

pytestmark = [needs_engine, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

SHAPE, COUNTS = (2, 10, 12), (1, 2, 19)
def deep_net(rng, clamp=ReLU):
    """Every kind of layer; `clamp` in the places of the rectifier. Dense layers meet no exact zeros."""
    net = [Conv2d(2, 3, 3, pad=1), MaxPool2d(2), clamp(), Conv2d(3, 4, 3, 2, 2), clamp(), MaxPool2d(3, 2, 1), Sigmoid(),
           Upsample2d(), Conv2d(4, 6, 2), AvgPool2d(2, 1), clamp(), Sigmoid(), Flatten()]
    features = Sequential(net).output_shape(SHAPE)[0]
    net += [Dense(features, 40), clamp(), Sigmoid(), Dense(40, 20), Softmax(9.0), Dense(20, 5)]
    return Classifier(filled(Sequential(net), rng), SHAPE, names(5))


def plain_net(rng, *layers):
    """These layers, Flatten and a dense layer, with random weights."""
    net = [*layers, Flatten()]
    end = Dense(Sequential(net).output_shape(SHAPE)[0], 5)
    return Classifier(filled(Sequential([*net, end]), rng), SHAPE, names(5))


def assert_agree(predictor, model, images):
    """Labels, probabilities, entropies, exits and pictures are those of the layers, NaN where they are NaN."""
    right, p = model.explain(images), model.predict_proba(images)
    for count in COUNTS:
        seen = predictor.explain(images[:count])
        np.testing.assert_allclose(predictor.predict_proba(images[:count]), p[:count], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(predictor.predict(images[:count]), right.label[:count])
        for field, exact in (("exit", True), ("label", True), ("confidence", False), ("entropy", False),
                             ("converted", False)):
            mine, theirs = getattr(seen, field), getattr(right, field)
            if theirs is not None:
                np.testing.assert_allclose(mine, theirs[:count], rtol=0, atol=0 if exact else 1e-5, err_msg=field)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_damaged_parameters_are_refused(value):
    rng = np.random.default_rng(1)
    model = deep_net(rng)
    for name, array in model.params.items():
        place = rng.integers(array.size)
        kept, array.flat[place] = array.flat[place], value
        with pytest.raises(UsageError, match=f"{name!r}.*NaN or infinity"):
            runtime.compile(model)
        array.flat[place] = kept
    runtime.compile(model)
    converter = Converter(ConverterConfig((8,), ("relu",)), SHAPE).initialise(rng)
    converter.decoder.params["0.bias"][3] = value
    for damaged in (converter, CBNet(converter, plain_net(rng))):
        with pytest.raises(UsageError, match="decoder.0.bias"):
            runtime.compile(damaged)


def to_infinity(channels=2):
    """Layers that make infinity of every pixel that is not black, of black ones zero."""
    layers = [Conv2d(channels, 2, 1), Conv2d(2, 2, 1)]
    for layer in layers:
        layer.params = {"weight": np.full((2, layer.in_channels, 1, 1), 1e25, np.float32),
                        "bias": np.zeros(2, np.float32)}
    return layers


BEHIND_INFINITY = [
    [Conv2d(2, 3, 3)], [Conv2d(2, 4, 3, pad=2), MaxPool2d(2), ReLU()], [Conv2d(2, 3, 3, 2), MaxPool2d(2)],
    [Conv2d(2, 4, 3), MaxPool2d(3, 2, 1)], [Conv2d(2, 4, 3), AvgPool2d(3, 2, 1), Clip(-1, 1)],
    [Conv2d(2, 6, 5, pad=2), Sigmoid()], [Conv2d(2, 2, 1), Conv2d(2, 2, 1), Sigmoid()], [Sigmoid()], [Tanh()],
    [LeakyReLU(0.1), Conv2d(2, 2, 1, groups=2), Sigmoid()], [Upsample2d(), Conv2d(2, 3, 2)], [BatchNorm2d(2), ReLU6()],
    [Flatten(), Dense(240, 30), ReLU()], [Flatten(), Dense(240, 30), Softmax()], [Flatten(), Dense(240, 30), Sigmoid()],
    [Conv2d(2, 22, 3, 2, 1), ReLU(), MaxPool2d(2)], [Conv2d(2, 2, 1, 2), Conv2d(2, 20, 3, 1, 1), Clip(-1, 1)],
    [ConvTranspose2d(2, 3, 3, 2), Tanh()], [GlobalAvgPool2d(), Clip(0, 5)], [GlobalMaxPool2d(), Tanh()]]


@needs_engine
@pytest.mark.parametrize("layer", [LocalResponseNorm(1, 0.0, 5.0, 1e-10, "sum"),
                                   LocalResponseNorm(3, 1e30, -2.0, 1.0, "sum")], ids=["small", "large"])
def test_a_normalisation_that_overflows_has_no_answer(layer):
    """Its factor is beyond float32; the engine's exponential ends before."""
    rng = np.random.default_rng(7)
    model = Classifier(filled(Sequential([Conv2d(2, 2, 1), layer, Flatten(), Dense(240, 5)]), rng), SHAPE, names(5))
    images = some_images(rng, SHAPE, 20)
    with np.errstate(over="ignore", invalid="ignore"):
        right = model.predict_proba(images)
    predictor = runtime.compile(model)
    for count in COUNTS:
        assert np.isnan(right[:count]).any(axis=1).all() and np.isnan(predictor.predict_proba(images[:count])).any()


@pytest.mark.parametrize("layers", BEHIND_INFINITY, ids=lambda layers: "-".join(layer.name for layer in layers))
def test_behind_infinite_values_the_answer_is_the_layers_or_none(layers):
    """Where the layers have no answer, the engine has none; it may have none where theirs is one (Winograd's sums)."""
    rng = np.random.default_rng(5)
    images = some_images(rng, SHAPE, max(COUNTS), kind="ink")
    images[::2, :, 2:] = 0  # some of them nearly black
    images[::6] = 0
    net = filled(Sequential([*layers, Flatten()]), rng)
    net = Sequential([*to_infinity(), *net, filled(Dense(net.output_shape(SHAPE)[0], 5), rng)])
    model = Classifier(net, SHAPE, names(5))
    p, predictor = model.predict_proba(images), runtime.compile(model)
    assert np.isfinite(p[0]).all()
    for count in COUNTS:
        mine, seen, right = predictor.predict_proba(images[:count]), predictor.explain(images[:count]), p[:count]
        none = np.isnan(mine).any(axis=1)
        np.testing.assert_allclose(mine[~none], right[~none], rtol=0, atol=1e-5)
        assert np.isnan(mine[none]).all() and not none[0]
        assert np.isnan(seen.entropy[none]).all() and np.isnan(seen.confidence[none]).all()
        assert (seen.label[none] == 0).all() and np.isfinite(seen.entropy[~none]).all()
        if not {"conv2d", "convtranspose2d"} & {layer.name for layer in layers}:
            np.testing.assert_array_equal(none, np.isnan(right).any(axis=1))


@pytest.mark.parametrize("scale", [1e3, 1e10, 1e20, 1e30, 1e33, 1e36, 1e38])
def test_logits_far_apart_but_finite_are_a_sure_answer(scale):
    rng = np.random.default_rng(6)
    images = some_images(rng, SHAPE, max(COUNTS))
    model = plain_net(rng)
    weight = model.params["net.1.weight"]
    model.set_params({"net.1.weight": (weight * (scale / np.abs(weight).sum(axis=0).max())).astype(np.float32)})
    assert np.isfinite(model.net.forward(images / np.float32(255))[0]).all()
    right = model.explain(images)
    assert np.isfinite(right.entropy).all()
    assert_agree(runtime.compile(model), model, images)


@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_leaves_early_on_nan(threads):
    rng = np.random.default_rng(7)
    net = branchynet_lenet(SHAPE, names(5), rng, threshold=float("inf"))
    assert (net.explain(some_images(rng, SHAPE, 2)).exit == 1).all()
    net.branch.params = {name: np.full_like(array, 3e38) * rng.choice([-1, 1], array.shape).astype(np.float32)
                         for name, array in net.branch.params.items()}
    images = some_images(rng, SHAPE, max(COUNTS))
    assert (net.explain(images).exit == 2).all()
    assert_agree(runtime.compile(net, threads), net, images)
    both = BranchyNet(net.stem, net.branch, net.branch, float("inf"), SHAPE, names(5))  # the last answer is NaN, too
    assert np.isnan(both.explain(images).confidence).all()
    assert_agree(runtime.compile(both, threads), both, images)


@pytest.mark.parametrize("form", [ConverterConfig((8,), ("relu",), output=output, halve_output=half)
                                  for output in ("linear", "sigmoid", "softmax") for half in (False, True)],
                         ids=lambda form: form.output + " half out" * form.halve_output)
@pytest.mark.parametrize("all_of_it", [False, True])
def test_a_converter_that_overflows_makes_no_confident_label(form, all_of_it):
    """One pixel of the picture is infinite, or all are NaN."""
    rng = np.random.default_rng(8)
    light = plain_net(rng, Conv2d(2, 3, 3, pad=1), MaxPool2d(2), ReLU())
    images = some_images(rng, SHAPE, max(COUNTS))
    for pixel in (0, 1, 7, 29, 59):
        converter = Converter(form, SHAPE)
        filled(converter.encoder, rng), filled(converter.decoder, rng)
        if all_of_it:
            converter.encoder.params["1.weight"][:] = 2e38
        else:
            converter.encoder.params["1.bias"][:] = 5
            converter.decoder.params["0.weight"][:, pixel] = 3e38
        model = CBNet(converter, light)
        assert_agree(runtime.compile(model), model, images)


def one_bright_pixel(shape):
    """Black images of one channel, each with one white pixel, in every place of a 2x2 window and near the edges."""
    places = [(row, column) for row in (0, 1, 4, 5, shape[1] - 1) for column in (0, 1, 6, 7, shape[2] - 1)]
    images = np.zeros((len(places), *shape), np.uint8)
    for image, (row, column) in zip(images, places):
        image[0, row, column] = 255
    return images


def to_nan():
    """A layer that makes NaN of infinite pixels and of black ones zero, in 4 channels."""
    layer = Conv2d(2, 4, 1)
    layer.params = {"weight": np.resize(np.float32([1, -1]), (4, 2, 1, 1)), "bias": np.zeros(4, np.float32)}
    return layer


@pytest.mark.parametrize("pool", [MaxPool2d(2), MaxPool2d(3, 2, 1), MaxPool2d(3, 1), GlobalMaxPool2d()], ids=repr)
@pytest.mark.parametrize("where", ["classifier", "residual", "behind an exit"])
@pytest.mark.parametrize("target", TARGETS)
def test_no_maximum_loses_a_nan(target, where, pool):
    """Wherever the engine could believe that none can come."""
    from npcbnet.runtime.predictor import Predictor
    shape, rng = (1, 9, 11), np.random.default_rng(9)
    (first, second), third = to_infinity(1), to_nan()
    layers = [second, third, pool]
    if where == "residual":
        layers = [Residual(Sequential(layers), Sequential([filled(Conv2d(2, 4, 1), rng, 1e-25), pool]))]
    behind = Sequential([first, *layers]).output_shape(shape)
    end = [Flatten(), filled(Dense(int(np.prod(behind)), 5), rng)]
    model = Classifier(Sequential([first, *layers, *end]), shape, names(5))
    if where == "behind an exit":
        branch = filled(Sequential([Flatten(), Dense(2 * 9 * 11, 5)]), rng)
        model = BranchyNet(Sequential([first]), branch, Sequential(layers + end), 0.0, shape, names(5))
    images = one_bright_pixel(shape)
    nothing = np.isnan(model.explain(images).entropy)
    assert nothing.any()  # some pixels no window sees
    predictor = Predictor(model, kernels=kernels(target))
    np.testing.assert_array_equal(np.isnan(predictor.explain(images).entropy), nothing)
    np.testing.assert_array_equal([np.isnan(predictor.predict_proba(image)).all() for image in images], nothing)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_without_an_answer_disturbs_no_other(target):
    """Neither its neighbours in the batch nor those after it, alone or in a batch."""
    from npcbnet.runtime.predictor import Predictor
    rng = np.random.default_rng(10)
    start, shape = [*to_infinity(1), to_nan(), MaxPool2d(2)], (1, 9, 11)
    rest = [Conv2d(4, 6, 3, pad=1), ReLU(), Upsample2d(), Conv2d(6, 3, 3, 2), Flatten()]
    size = Sequential([*start, *rest]).output_shape(shape)[0]
    rest = filled(Sequential([*rest, Dense(size, 40), ReLU(), Dense(40, 15), Softmax(3.0), Dense(15, 5)]), rng)
    model = Classifier(Sequential([*start, *rest]), shape, names(5))
    white, black = np.full(shape, 255, np.uint8), np.zeros(shape, np.uint8)
    right = model.predict_proba(black)[0]
    assert np.isnan(model.predict_proba(white)).all() and np.isfinite(right).all()
    predictor = Predictor(model, kernels=kernels(target))
    for turn in range(3):
        assert np.isnan(predictor.predict_proba(white)).all()
        np.testing.assert_allclose(predictor.predict_proba(black)[0], right, rtol=0, atol=1e-5)
        bad = rng.random(50) < (0.5, 0.1, 0.9)[turn]
        p = predictor.predict_proba(np.where(bad[:, None, None, None], white, black))
        assert np.isnan(p[bad]).all()
        np.testing.assert_allclose(p[~bad], np.tile(right, (50 - bad.sum(), 1)), rtol=0, atol=1e-5)
