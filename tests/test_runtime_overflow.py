"""Damaged or overflowing weights in the engine: what the layers say, so never a confident label and no early exit."""
import numpy as np
import pytest

from npcbnet import runtime
from npcbnet.layers import (AvgPool2d, Clip, Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, Sigmoid, Softmax,
                            Upsample2d)
from npcbnet.nets import BranchyNet, CBNet, Classifier, Converter, ConverterConfig, branchynet_lenet
from tests.runtime_models import TARGETS, filled, kernels, names, needs_engine, some_images

pytestmark = [needs_engine, pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")]

SHAPE, COUNTS = (2, 10, 12), (1, 2, 19)
NAN = np.float32(np.nan)
STRANGE_NAN = np.array([0x7FC12345], np.uint32).view(np.float32)[0]  # NaN is not one number: 2^24 - 2 of them exist


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
    return Classifier(filled(Sequential([*net, Dense(Sequential(net).output_shape(SHAPE)[0], 5)]), rng), SHAPE, names(5))


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


@pytest.mark.parametrize("value", [NAN, -NAN, STRANGE_NAN], ids=["NaN", "-NaN", "strange NaN"])
@pytest.mark.parametrize("target", TARGETS)
def test_nan_in_any_parameter(target, value):
    from npcbnet.runtime.predictor import Predictor
    rng = np.random.default_rng(1)
    images = some_images(rng, SHAPE, max(COUNTS)) | 1  # no zeros: what the engine skips is another test's matter
    for clamp in (ReLU, Clip):
        for name, array in deep_net(rng, clamp).params.items():
            model = deep_net(np.random.default_rng(2), clamp)
            model.params[name].flat[rng.integers(array.size)] = value
            assert np.isnan(model.explain(images).entropy).all(), name
            assert_agree(Predictor(model, kernels=kernels(target)), model, images)


def test_a_weight_that_is_nan_counts_or_does_not_where_its_input_is_zero():
    """Rows of zeros may be left out, so 0 * NaN may be 0: the answer is the one without that weight, or none."""
    rng = np.random.default_rng(3)
    images = some_images(rng, SHAPE, max(COUNTS))
    images[:, 0, 3, 4] = 0
    model = plain_net(rng)
    p = model.predict_proba(images)
    model.params["net.1.weight"][3 * 12 + 4, 2] = np.nan
    for count in COUNTS:
        mine = runtime.compile(model).predict_proba(images[:count])
        assert (np.isnan(mine).all(axis=1) | (np.abs(mine - p[:count]) < 1e-5).all(axis=1)).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_parameters_give_the_layers_answer_or_none(value):
    rng = np.random.default_rng(4)
    images = some_images(rng, SHAPE, max(COUNTS))
    for name, array in deep_net(rng).params.items():
        model = deep_net(np.random.default_rng(2))
        model.params[name].flat[rng.integers(array.size)] = value
        p, predictor = model.predict_proba(images), runtime.compile(model)
        for count in COUNTS:
            mine = predictor.predict_proba(images[:count])
            assert (np.isnan(mine) | (np.abs(mine - p[:count]) < 1e-5)).all()
            assert np.isnan(mine[np.isnan(p[:count])]).all()


@pytest.mark.parametrize("layers", [[Conv2d(2, 3, 3)], [Conv2d(2, 3, 3, pad=2), MaxPool2d(2), ReLU()],
                                    [Conv2d(2, 3, 3, 2), MaxPool2d(2)], [Conv2d(2, 4, 3), MaxPool2d(3, 2, 1)],
                                    [Conv2d(2, 4, 3), AvgPool2d(3, 2, 1), Clip(-1, 1)], [Conv2d(2, 2, 3), Sigmoid()],
                                    [Conv2d(2, 2, 3), Conv2d(2, 2, 3), Sigmoid()], [Upsample2d(), Conv2d(2, 3, 2)],
                                    [Flatten(), Dense(240, 30), ReLU()], [Flatten(), Dense(240, 30), Softmax()],
                                    [Flatten(), Dense(240, 30), Dense(30, 20), Sigmoid()]],
                         ids=lambda layers: "-".join(layer.name for layer in layers))
def test_layers_that_overflow(layers):
    """Products beyond float32 are infinite, their sums NaN or infinite: in the same places as in the layers."""
    for scale in (1e25, 1e37):
        rng = np.random.default_rng(5)
        images = some_images(rng, SHAPE, max(COUNTS), kind="ink")
        model = plain_net(rng, *layers)
        model.set_params({name: (array * scale).astype(np.float32) for name, array in model.params.items()
                          if "weight" in name})
        assert_agree(runtime.compile(model), model, images)


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


@pytest.mark.parametrize("bad", [np.nan, 3e38])
def test_nothing_leaves_early_on_nan(bad):
    rng = np.random.default_rng(7)
    net = branchynet_lenet(SHAPE, names(5), rng, threshold=float("inf"))
    assert (net.explain(some_images(rng, SHAPE, 2)).exit == 1).all()
    net.branch.params = {name: np.full_like(array, bad) * rng.choice([-1, 1], array.shape).astype(np.float32)
                         for name, array in net.branch.params.items()}
    images = some_images(rng, SHAPE, max(COUNTS))
    assert (net.explain(images).exit == 2).all()
    for threads in (1, 2):
        assert_agree(runtime.compile(net, threads), net, images)
    both = BranchyNet(net.stem, net.branch, net.branch, float("inf"), SHAPE, names(5))  # and the last answer is NaN, too
    assert np.isnan(both.explain(images).confidence).all()
    assert_agree(runtime.compile(both), both, images)


@pytest.mark.parametrize("form", [ConverterConfig((8,), ("relu",), output=output, halve_output=half)
                                  for output in ("linear", "sigmoid", "softmax") for half in (False, True)],
                         ids=lambda form: form.output + " half out" * form.halve_output)
@pytest.mark.parametrize("bad", [np.nan, 3e38])
def test_a_converter_that_fails_makes_no_confident_label(form, bad):
    """One pixel of the picture is NaN or infinite, perhaps where a pool could lose it."""
    rng = np.random.default_rng(8)
    light = plain_net(rng, Conv2d(2, 3, 3, pad=1), MaxPool2d(2), ReLU())
    images = some_images(rng, SHAPE, max(COUNTS))
    for pixel in (0, 1, 7, 29, 59):
        converter = Converter(form, SHAPE)
        filled(converter.encoder, rng), filled(converter.decoder, rng)
        converter.decoder.params["0.weight"][:, pixel] = bad
        model = CBNet(converter, light)
        assert_agree(runtime.compile(model), model, images)
