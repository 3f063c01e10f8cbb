"""Dense layers in the engine: weights in float16 or mostly zero are stored in their own ways, the answers stay."""
from dataclasses import replace

import numpy as np
import pytest

import npcbnet
from npcbnet.layers import Dense, Flatten, ReLU, Sequential, initialise
from npcbnet.nets import Classifier

pytest.importorskip("llvmlite")
from npcbnet.runtime.library import Library  # noqa: E402
from npcbnet.runtime.predictor import Predictor  # noqa: E402
from npcbnet.runtime.target import CORTEX_A72, host  # noqa: E402

WIDTHS = [(1, 2), (7, 13), (50, 16), (33, 130), (97, 300)]  # features, outputs


def libraries():
    """One for this machine, one for narrower vectors where it has wider ones."""
    here = host()
    return [Library(here)] + [Library(replace(here, lanes=4, registers=16))] * (here.lanes > 4)


def classifier(rng, features, outputs, classes=5, change=None):
    """A net of two dense layers on images of `features` pixels. change(weight): what becomes of the weights."""
    net = initialise(Sequential([Flatten(), Dense(features, outputs), ReLU(), Dense(outputs, classes)]), rng)
    model = Classifier(net, (1, 1, features), tuple(map(str, range(classes))))
    for name, array in model.params.items():
        array[...] = change(array) if change and "weight" in name else array + 0.01 * rng.standard_normal(array.shape)
    return model


def images_of(model, rng, count):
    """Images of which most pixels are 0, the first without any, the last black."""
    images = rng.integers(0, 256, (count, *model.input_shape), np.uint8)
    images[rng.random(images.shape) < 0.7] = 0
    images[0] = rng.integers(1, 256, model.input_shape)
    images[-1] = 0
    return images


def check(model, rng, library, tolerance=3e-6):
    """The engine's answers for one image and for groups are those of the layers; returns the Predictor."""
    images, predictor = images_of(model, rng, 21), Predictor(model, kernels=library)
    wanted = model.predict_proba(images)
    np.testing.assert_allclose(predictor.predict_proba(images), wanted, atol=tolerance, rtol=0)
    for image, row in zip(images, wanted):
        np.testing.assert_allclose(predictor.predict_proba(image[None])[0], row, atol=tolerance, rtol=0)
    return predictor


def rounded(weight):
    return weight.astype(np.float16).astype(np.float32)


def bytes_of(program):
    return sum(array.nbytes for array in program.weights)


@pytest.mark.parametrize("features, outputs", WIDTHS)
def test_float16_weights_stay_float16_and_answer_as_their_layers(features, outputs):
    rng = np.random.default_rng(features)
    model = classifier(rng, features, outputs, change=rounded)
    for library in libraries():
        predictor = check(model, rng, library)
        halves = [array for array in predictor._one.program.weights if array.dtype == np.float16]
        assert len(halves) == (outputs > 12 and library.target.halves)


def test_a_float16_file_takes_half_the_memory(tmp_path):
    rng = np.random.default_rng(0)
    model = classifier(rng, 784, 700)
    npcbnet.save(model, tmp_path / "m.npz", dtype="float16")
    full, half = (Predictor(each, kernels=libraries()[0]) for each in (model, npcbnet.load(tmp_path / "m.npz")))
    if host().halves:
        assert bytes_of(half._one.program) < 0.6 * bytes_of(full._one.program)  # biases stay float32
    assert not any(array.dtype == np.float16 for array in full._one.program.weights)
    check(half.model, rng, libraries()[0])


def test_small_float16_numbers_are_not_lost_while_denormals_count_as_zero():
    """The engine computes with denormal float32 numbers flushed to 0; of float16 those are ordinary float32 numbers."""
    rng = np.random.default_rng(0)
    model = classifier(rng, 30, 40, change=lambda weight: rounded(1e-6 * weight))
    model.net[3].params["weight"] *= np.float32(2 ** 20)
    model.net[1].params["bias"][:] = 0
    assert 0 < np.abs(model.net[1].params["weight"]).max() < 6e-5  # float16's smallest normal number
    check(model, rng, libraries()[0])


def test_which_processors_widen_float16_themselves():
    here = host()
    assert CORTEX_A72.halves
    assert replace(here, family="x86", features="+sse2,+f16c").halves
    assert not replace(here, family="x86", features="+sse2,-f16c").halves
    model = classifier(np.random.default_rng(0), 20, 40, change=rounded)
    plain = check(model, np.random.default_rng(1), Library(replace(here, family="x86", features="+sse2", lanes=4,
                                                                   registers=16)) if here.family == "x86" else None)
    assert here.family != "x86" or all(array.dtype == np.float32 for array in plain._one.program.weights)
