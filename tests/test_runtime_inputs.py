"""What an engine takes and gives: the arrays that the layers take, their errors, NaN, denormals, fresh answers."""
import sys

import numpy as np
import pytest

from npcbnet import runtime
from npcbnet.errors import NpcbnetError, ShapeError, UsageError
from npcbnet.nets import CBNet, Classifier, Converter, ConverterConfig, branchynet_lenet, lenet, lightweight
from tests.runtime_models import names, needs_engine, some_images
from tests.test_start import run

SHAPE, COLOUR = (1, 28, 28), (3, 9, 8)
FORM = ConverterConfig((24, 8), ("relu", "linear"), halve_output=True)


def models(shape=SHAPE):
    """One of each kind."""
    rng = np.random.default_rng(1)
    net = branchynet_lenet(shape, names(10), rng, threshold=2.1)
    models = [lenet(shape, names(10), rng), net]
    return models + ([CBNet(Converter(FORM, shape).initialise(rng), lightweight(net))] if shape == SHAPE else [])


@pytest.fixture
def rng():
    return np.random.default_rng(3)


class Odd:
    """Something that NumPy cannot make an array of."""

    def __array__(self, *_, **__):
        raise RuntimeError("no")


def wrong_values(count):
    """`count` good float images but for one pixel, with what is wrong about it."""
    images = np.full((count, *SHAPE), 0.5, np.float32)
    for value in (np.nan, np.inf, -np.inf, 1.0001, -0.0001, 255, -1e-40):
        bad = images.copy()
        bad[-1, 0, -1, -1] = value
        yield bad


BAD = [np.zeros((2, 1, 27, 28), np.uint8), np.zeros((1, 1, 28, 27), np.float32), np.zeros((2, 3, 28, 28), np.uint8),
       np.zeros(784, np.uint8), np.zeros((2, 1, 1, 28, 28), np.uint8), np.zeros((0, 1, 27, 28), np.uint8), np.uint8(3),
       np.zeros((1, 28, 28), np.int64), np.zeros((1, 28, 28), np.int8), np.zeros((20, 28, 28), bool),
       np.zeros((28, 28), np.complex64), np.zeros((28, 28), object), np.zeros((28, 28), "U1"), None, "mnist.png", Odd(),
       [np.zeros((28, 28)), np.zeros((27, 28))], {"images": 1}, np.full((28, 28), np.float16(np.nan)),
       np.full((17, 28, 28), 255.0), np.full((28, 28), -0.1), np.full((28, 28), 1 + 1e-12), np.full((28, 28), -1e-60),
       np.full((28, 28), 1e300),
       np.ma.masked_array(np.zeros((28, 28), np.uint8), mask=np.eye(28)), np.ma.zeros((20, 1, 28, 28)),
       *wrong_values(1), *wrong_values(7), *wrong_values(33)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("images", BAD, ids=lambda images: f"{type(images).__name__}-{np.shape(images)}"
                         if isinstance(images, np.ndarray) else type(images).__name__)
def test_wrong_images_raise_what_the_layers_raise_and_the_predictor_goes_on(images, rng):
    for model in models():
        predictor = runtime.compile(model)
        good = some_images(rng, SHAPE, 20)
        before = [predictor.predict_proba(good[:count]) for count in (1, 20)]
        with pytest.raises(ShapeError) as expected:
            model.predict(images)
        methods = ["predict", "predict_proba", "explain"] + ["convert"] * isinstance(model, CBNet)
        for method in methods:
            with pytest.raises(ShapeError) as raised:
                getattr(predictor, method)(images)
            assert str(raised.value) == str(expected.value)
        for count, p in zip((1, 20), before):
            np.testing.assert_array_equal(predictor.predict_proba(good[:count]), p)


@pytest.mark.parametrize("count", [1, 2, 20])
def test_every_layout_and_type_gives_the_same_answer(count, rng):
    images = some_images(rng, SHAPE, count)
    for model in models():
        predictor = runtime.compile(model)
        label, p = predictor.predict(images), predictor.predict_proba(images)
        wide = np.zeros((2 * count, 1, 28, 56), np.uint8)
        wide[::2, :, :, ::2] = images
        frozen = images.copy()
        frozen.flags.writeable = False
        for same in (images[:, 0], np.asfortranarray(images), wide[::2, :, :, ::2], images[::-1].copy()[::-1], frozen,
                     list(images), images.tolist() and [image for image in images[:, 0]], memoryview(images),
                     np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)):
            np.testing.assert_array_equal(predictor.predict(same), label)
            np.testing.assert_array_equal(predictor.predict_proba(same), p)
        floats = images / np.float32(255)
        for dtype in (np.float32, np.float64, np.longdouble, ">f4", ">f8"):
            for layout in (floats, np.asfortranarray(floats)):
                np.testing.assert_allclose(predictor.predict_proba(layout.astype(dtype)), p, rtol=0, atol=1e-6)
        half = floats.astype(np.float16)
        np.testing.assert_allclose(predictor.predict_proba(half), model.predict_proba(half), rtol=0, atol=1e-5)
        for image in images[:3]:
            one = predictor.predict_proba(image)
            assert one.shape == (1, 10)
            np.testing.assert_array_equal(predictor.predict_proba(image[0]), one)
            np.testing.assert_array_equal(predictor.predict_proba([image]), one)


def test_a_single_colour_image(rng):
    for model in models(COLOUR):
        predictor, images = runtime.compile(model), some_images(rng, COLOUR, 2)
        for image in (images[0], images[:1], images[0] / np.float32(255), images[0] / 255):
            np.testing.assert_allclose(predictor.predict_proba(image), model.predict_proba(image), rtol=0, atol=1e-5)
        with pytest.raises(ShapeError, match="3x9x8"):
            predictor.predict(images[:, 0])


def test_no_images():
    for model in models():
        predictor = runtime.compile(model)
        for none in (np.zeros((0, *SHAPE), np.uint8), np.zeros((0, 28, 28), np.float32), np.zeros((0, *SHAPE))):
            assert predictor.predict(none).shape == (0,) and predictor.predict(none).dtype == np.int64
            assert predictor.predict_proba(none).shape == (0, 10)
            seen = predictor.explain(none)
            assert [len(field) for field in (seen.label, seen.confidence, seen.entropy, seen.exit)] == [0] * 4
            if isinstance(model, CBNet):
                assert seen.converted.shape == predictor.convert(none).shape == (0, *SHAPE)


@pytest.mark.parametrize("count", [1, 3, 20])
def test_one_answer_after_the_other_is_fresh(count, rng):
    """The same method twice in a row, which may be on its shortest way."""
    for model in models():
        predictor, images = runtime.compile(model), some_images(rng, SHAPE, count)
        for method in ["predict", "predict_proba", *["convert"] * isinstance(model, CBNet)]:
            first, second = (getattr(predictor, method)(images) for _ in range(2))
            np.testing.assert_array_equal(first, second)
            assert not np.shares_memory(first, second), method


@pytest.mark.parametrize("count", [1, 3, 20])
def test_answers_are_fresh_and_of_the_documented_types(count, rng):
    images, other = some_images(rng, SHAPE, count), some_images(rng, SHAPE, count)
    for model in models():
        predictor = runtime.compile(model)

        def everything(some):
            seen, right = predictor.explain(some), model.explain(some)
            arrays = {"predict": (predictor.predict(some), model.predict(some)),
                      "proba": (predictor.predict_proba(some), model.predict_proba(some)),
                      **{field: (getattr(seen, field), getattr(right, field)) for field in vars(right)}}
            if isinstance(model, CBNet):
                arrays["convert"] = predictor.convert(some), model.convert(some)
            return arrays

        kept, untouched = everything(images), images.copy()
        copies = {name: np.copy(mine) for name, (mine, _) in kept.items()}
        again = everything(other)
        for name, (mine, right) in kept.items():
            assert right is None or not np.shares_memory(mine, again[name][0]), name
            np.testing.assert_array_equal(mine, copies[name], err_msg=name)  # later answers do not write into it
            if right is not None:
                assert (mine.shape, mine.dtype) == (right.shape, right.dtype), name
                assert mine.flags.writeable and mine.flags.c_contiguous
                mine[...] = -1
        for name, (mine, _) in everything(images).items():
            np.testing.assert_array_equal(mine, copies[name], err_msg=name)  # and changing it changes no later answer
        np.testing.assert_array_equal(images, untouched)


def test_float_images_are_never_written_to(rng):
    for count in (1, 20):
        images = some_images(rng, SHAPE, count) / np.float32(255)
        images[0, 0, 0, :5] = 0, 1e-40, 1, np.float32(1) - np.finfo(np.float32).epsneg, 1e-38
        kept = images.copy()
        for model in models():
            runtime.compile(model).explain(images)
        assert images.tobytes() == kept.tobytes()


AT_THE_EDGE = """
import ctypes, mmap, numpy as np
from npcbnet import runtime
from tests.runtime_models import random_classifier, some_images
memory = mmap.mmap(-1, 64 * mmap.PAGESIZE)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
protect = ctypes.CDLL(None).mprotect
for page in (0, 63):
    assert protect(ctypes.c_void_p(start + page * mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
inside = np.frombuffer(memory, np.uint8)[mmap.PAGESIZE:-mmap.PAGESIZE]
for seed in range(12):
    model = random_classifier(seed, 1)
    predictor = runtime.compile(model)
    for dtype in (np.uint8, np.float32):
        for count in (1, 2, 7, 8, 17):
            images = (some_images(np.random.default_rng(seed), model.input_shape, count) // 255).astype(dtype)
            if images.nbytes > inside.size:
                continue
            for where in (slice(inside.size - images.nbytes, None), slice(images.nbytes)):
                here = inside[where].view(dtype).reshape(images.shape)
                here[...] = images
                assert np.array_equal(predictor.predict_proba(here), predictor.predict_proba(images))
print("unharmed")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux to protect pages of memory")
def test_nothing_beside_the_images_is_read():
    """Before and behind them lie pages that must not be touched."""
    assert run(AT_THE_EDGE).stdout.split() == ["unharmed"]


@pytest.mark.parametrize("count", [1, 20])
def test_denormal_pixels_are_as_good_as_zero(count, rng):
    images = (some_images(rng, SHAPE, count) * np.float32(1e-40)).astype(np.float32)
    images[:, :, ::2] = some_images(rng, SHAPE, count)[:, :, ::2] / np.float32(255)
    assert 0 < images[images > 0].min() < 1e-37
    for model in models():
        predictor = runtime.compile(model)
        np.testing.assert_allclose(predictor.predict_proba(images), model.predict_proba(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_callers_denormal_numbers_stay_what_they_are(threads, rng):
    tiny = np.full(64, 1e-40, np.float32)
    for model in models():
        predictor = runtime.compile(model, threads)
        for count in (1, 2, 80):
            images = some_images(rng, SHAPE, count)
            predictor.predict(images)
            predictor.explain(images / np.float32(255))
            with pytest.raises(NpcbnetError):
                predictor.predict(np.full((count, *SHAPE), 2, np.float32))
            assert (tiny * np.float32(1) == tiny).all() and (tiny * np.float32(1) > 0).all()
            assert np.float32(1e-40) * np.float32(1) > 0 and np.float32(2e-38) * np.float32(0.1) > 0


@needs_engine
def test_the_predictor_is_of_the_model_as_it_was(rng):
    """Weights and thresholds are copied when it is compiled, also for the batches that come later."""
    images = some_images(rng, SHAPE, 40)
    for model in models():
        right, exits = model.predict_proba(images), model.explain(images).exit
        predictor = runtime.compile(model)
        for array in model.params.values():
            array *= 1.5
        if model.kind == "branchynet":
            model.threshold = 0.0
        for count in (1, 40):
            np.testing.assert_allclose(predictor.predict_proba(images[:count]), right[:count], rtol=0, atol=1e-5)
            np.testing.assert_array_equal(predictor.explain(images[:count]).exit, exits[:count])


@needs_engine
def test_too_little_memory_once_is_no_trouble_later(rng, monkeypatch):
    from npcbnet.runtime.plan import Program
    images, model = some_images(rng, SHAPE, 40), models()[0]
    predictor = runtime.compile(model, threads=2)

    def no_memory(program):
        raise MemoryError

    with monkeypatch.context() as short:
        short.setattr(Program, "place", no_memory)
        with pytest.raises(ShapeError, match="too little memory"):
            predictor.predict(images)
    for count in (1, 40):
        some = images[:count]
        np.testing.assert_allclose(predictor.predict_proba(some), model.predict_proba(some), rtol=0, atol=1e-5)


def test_a_model_without_parameters_says_so():
    model = models()[0]
    with pytest.raises(ShapeError, match="no parameter"):
        runtime.compile(Classifier.from_config(model.config())).predict(np.zeros(SHAPE, np.uint8))


def test_a_models_name_is_no_model():
    with pytest.raises(UsageError, match=r"takes a model, not 'mnist-caenet'; load it first"):
        runtime.compile("mnist-caenet")


def test_a_files_name_is_no_image():
    with pytest.raises(ShapeError, match="'three.png' is a file's name; read it first"):
        models()[0].predict("three.png")
