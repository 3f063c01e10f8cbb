"""Dense layers in the engine: weights in float16 or mostly zero are stored in their own ways, the answers stay."""
from dataclasses import replace

import numpy as np
import pytest

import npcbnet
from npcbnet.layers import Dense, Flatten, ReLU, Sequential, initialise
from npcbnet.nets import Classifier
from npcbnet.runtime.library import Library
from npcbnet.runtime.predictor import Predictor
from npcbnet.runtime.target import CORTEX_A72, host
from tests.runtime_models import kernels, needs_engine

pytestmark = needs_engine
WIDTHS = [(1, 2), (7, 13), (50, 16), (33, 130), (97, 300)]  # features, outputs


def libraries():
    """One for this machine, one for narrower vectors."""
    return kernels("host"), kernels("4 lanes")


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


def pruned(rng, share, block, rows=0):
    """A change of weights: this share of blocks of neighbouring outputs zero; `rows` features are left out wholly."""
    def change(weight):
        D, O = weight.shape
        keep = np.repeat(rng.random((D, -(-O // block))) >= share, block, axis=1)[:, :O]
        keep[:rows] = False
        return weight * keep
    return change


def kernels_of(predictor):
    """The names of the micro-kernels that the single image's and the group's program use."""
    names = {address: key for key, address in predictor._library._addresses.items()}
    programs = [predictor._one.program] + ([predictor._group] if predictor._group else [])
    return {names[row[0]] for program in programs for row in program.rows}


@pytest.mark.parametrize("share, block", [(0.97, 1), (0.8, 4), (1.0, 1)])
@pytest.mark.parametrize("features, outputs", WIDTHS)
def test_mostly_zero_weights_are_listed_and_answer_as_their_layers(features, outputs, share, block):
    rng = np.random.default_rng(features)
    model = classifier(rng, features, outputs, change=pruned(rng, share, block, rows=1))
    for library in libraries():
        used = kernels_of(check(model, rng, library))
        if min(features, outputs) > 20:
            assert any(name.startswith("sparse_one") for name in used)
            assert any(name.startswith("sparse_group") for name in used)


def test_blocks_are_listed_as_blocks_and_few_zeros_are_not_listed():
    rng = np.random.default_rng(0)
    for share, block, wanted in ((0.85, 4, "sparse_one_block4"), (0.96, 1, "sparse_one_block1"), (0.4, 1, "dense_one")):
        used = kernels_of(check(classifier(rng, 100, 120, change=pruned(rng, share, block)), rng, libraries()[0]))
        assert any(name.startswith(wanted) for name in used), used


def test_weights_that_may_overflow_are_not_listed():
    """A zero times infinity is NaN: left out, it would turn nonsense into an answer."""
    rng = np.random.default_rng(0)
    model = classifier(rng, 100, 120, change=pruned(rng, 0.97, 1))
    assert "sparse_one_block1" in kernels_of(Predictor(model, kernels=libraries()[0]))
    model.net[1].params["weight"] *= np.float32(1e37)
    assert "sparse_one_block1" not in kernels_of(Predictor(model, kernels=libraries()[0]))


def test_listed_weights_need_less_memory():
    rng = np.random.default_rng(0)
    full, few = (classifier(rng, 784, 700, change=pruned(rng, share, 4)) for share in (0, 0.9))
    programs = [Predictor(model, kernels=libraries()[0])._one.program for model in (full, few)]
    assert bytes_of(programs[1]) < 0.4 * bytes_of(programs[0])
