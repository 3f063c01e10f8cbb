"""Converters and CBNets in the engine, in every form, and the pretrained models on the images they were made for."""
from functools import cache
from itertools import product

import numpy as np
import pytest

import npcbnet
from npcbnet import modelfile, runtime
from npcbnet.errors import UsageError
from npcbnet.layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential
from npcbnet.nets import TABLE_I, CBNet, Classifier, Converter, ConverterConfig
from tests.real_images import real
from tests.runtime_models import TARGETS, assert_same_logits, filled, kernels, names, needs_engine, some_images

pytestmark = needs_engine

BATCHES = (1, 2, 7, 16, 17, 40)
OUTPUTS = [("linear", False), ("linear", True), ("sigmoid", False), ("softmax", False)]
FORMS = [ConverterConfig(hidden, ("relu", "linear")[:len(hidden)], half_in, half_out, output, residual, total)
         for (output, residual), half_in, half_out, (hidden, total) in
         product(OUTPUTS, (False, True), (False, True), [((19, 8), 1.0), ((33,), 101.7)])]


def form_name(form):
    """What of a form a test's name should say."""
    halves = "".join(" half in" * form.halve_input + " half out" * form.halve_output)
    return f"{form.output}{' residual' * form.residual}{halves} {len(form.hidden)}"


def some_cbnet(form, shape, rng, first):
    """A CBNet of this form with random weights; its classifier begins with a padded convolution, a pool or Flatten."""
    layers = {"conv": [Conv2d(shape[0], 3, 5, pad=3), MaxPool2d(2), ReLU()], "pool": [MaxPool2d(3, 2, 1)], "flat": []}
    net = Sequential([*layers[first], Flatten()])
    net = filled(Sequential([*net, Dense(net.output_shape(shape)[0], 4)]), rng)
    converter = Converter(form, shape)
    filled(converter.encoder, rng), filled(converter.decoder, rng)
    return CBNet(converter, Classifier(net, shape, names(4)))


@pytest.mark.parametrize("shape, first", [((1, 12, 10), "conv"), ((3, 6, 8), "flat"), ((1, 4, 14), "pool")], ids=str)
@pytest.mark.parametrize("form", FORMS, ids=form_name)
def test_every_form_converts_and_predicts_as_its_layers(form, shape, first):
    rng = np.random.default_rng(5)
    model = some_cbnet(form, shape, rng, first)
    images = some_images(rng, shape, max(BATCHES), kind="ink")
    pictures, p = model.convert(images), model.predict_proba(images)
    whole, converter = runtime.compile(model), runtime.compile(model.converter)
    for count in BATCHES:
        np.testing.assert_allclose(whole.convert(images[:count]), pictures[:count], rtol=0, atol=1e-5)
        np.testing.assert_allclose(converter.convert(images[:count]), pictures[:count], rtol=0, atol=1e-5)
        assert_same_logits(whole.predict_proba(images[:count]), p[:count])
    seen, right = whole.explain(images), model.explain(images)
    np.testing.assert_allclose(seen.converted, pictures, rtol=0, atol=1e-5)
    np.testing.assert_allclose(seen.entropy, right.entropy, rtol=0, atol=5e-5)
    np.testing.assert_array_equal(seen.label, right.label)
    assert seen.converted.min() >= 0 and seen.converted.max() <= 1


@pytest.mark.parametrize("target", list(TARGETS)[1:])
@pytest.mark.parametrize("form", FORMS[::5], ids=form_name)
def test_narrower_vectors_convert_alike(form, target):
    from npcbnet.runtime.predictor import Predictor
    rng = np.random.default_rng(6)
    model = some_cbnet(form, (1, 8, 14), rng, "conv")
    images = some_images(rng, (1, 8, 14), 19)
    predictor = Predictor(model, kernels=kernels(target))
    for count in (1, 3, 19):
        np.testing.assert_allclose(predictor.convert(images[:count]), model.convert(images[:count]), rtol=0, atol=1e-5)
        assert_same_logits(predictor.predict_proba(images[:count]), model.predict_proba(images[:count]))


@pytest.mark.parametrize("shape", [(1, 7, 9), (3, 5, 5), (1, 1, 3)], ids=str)
@pytest.mark.parametrize("output", ["linear", "softmax", "sigmoid"])
def test_odd_sides(output, shape):
    rng = np.random.default_rng(7)
    model = some_cbnet(ConverterConfig((6, 5), ("relu", "relu"), output=output), shape, rng, "conv")
    images = some_images(rng, shape, 18)
    predictor = runtime.compile(model)
    for count in (1, 18):
        np.testing.assert_allclose(predictor.convert(images[:count]), model.convert(images[:count]), rtol=0, atol=1e-5)
        assert_same_logits(predictor.predict_proba(images[:count]), model.predict_proba(images[:count]))


@pytest.mark.parametrize("dataset", TABLE_I)
def test_table_one_with_random_weights(dataset):
    """Its softmax meets differences of hundreds, whose powers are no float32, or denormal: they count as black."""
    rng = np.random.default_rng(8)
    converter = Converter(TABLE_I[dataset], (1, 28, 28)).initialise(rng)
    converter.decoder.params["0.bias"][:] = rng.choice([0, -75, -95, -300], 784)
    images = some_images(rng, (1, 28, 28), 20, kind="ink")
    predictor, right = runtime.compile(converter), converter.convert(images)
    assert (right < 1e-30).mean() > 0.1
    for count in (1, 20):
        np.testing.assert_allclose(predictor.convert(images[:count]), right[:count], rtol=0, atol=1e-5)


def test_what_makes_no_pictures_or_no_labels_says_so():
    rng = np.random.default_rng(9)
    model = some_cbnet(FORMS[0], (1, 12, 10), rng, "flat")
    images = some_images(rng, (1, 12, 10), 3)
    with pytest.raises(UsageError, match="Classifier converts nothing"):
        runtime.compile(model.classifier).convert(images)
    for method in ("predict", "predict_proba", "explain"):
        with pytest.raises(UsageError, match="Converter"):
            getattr(runtime.compile(model.converter), method)(images)


@cache
def real_images(dataset):
    """300 test images."""
    return real(dataset).test.images[:300]


@pytest.mark.parametrize("name", modelfile.names())
def test_pretrained_models_on_real_images(name):
    model, dataset = npcbnet.load(name), name.split("-")[0]
    images = real_images(dataset)[:40 if dataset == "cifar10" else None]  # AlexNet's layers take their time
    right, p = model.explain(images), model.predict_proba(images)
    for predictor in (runtime.compile(model), runtime.compile(model, threads=2)):
        seen = predictor.explain(images)
        for field in ("label", "exit"):
            np.testing.assert_array_equal(getattr(seen, field), getattr(right, field))
        np.testing.assert_allclose(seen.entropy, right.entropy, rtol=0, atol=5e-5)
        np.testing.assert_allclose(predictor.predict_proba(images), p, rtol=0, atol=1e-5)
        if right.converted is not None:
            np.testing.assert_allclose(seen.converted, right.converted, rtol=0, atol=1e-5)
        np.testing.assert_array_equal([predictor.predict(image)[0] for image in images], right.label)
        alone = np.concatenate([predictor.predict_proba(image) for image in images])
        np.testing.assert_allclose(alone, p, rtol=0, atol=1e-5)
