"""`python -m npcbnet.bench`: what a model costs, and what it is measured against."""
import json
import shlex

import numpy as np
import pytest

import npcbnet
from npcbnet import bench, measure, modelfile, roofline, runtime
from npcbnet.data import published
from npcbnet.errors import UsageError
from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import BatchNorm2d, Conv2d, Dense, Flatten, MaxPool2d, ReLU, Residual, Sequential, initialise
from npcbnet.nets import Classifier, balexnet, branchynet_lenet
from npcbnet.runtime.layerwise import Layerwise

needs_engine = pytest.mark.skipif(not COMPILED, reason="there is no engine without compiled code")


@pytest.fixture
def model_file(tmp_path):
    net = branchynet_lenet((1, 28, 28), tuple("0123456789"), np.random.default_rng(0))
    net.threshold = float(np.median(net.explain(measure.test_images(net)[0]).entropy))  # half of the images leave
    npcbnet.save(net, tmp_path / "model.npz")
    return str(tmp_path / "model.npz")


@needs_engine
def test_the_command_prints_a_page_and_writes_the_figures(model_file, tmp_path, capsys):
    file = tmp_path / "bench.json"
    assert bench.main([model_file, "--batches", "1", "3", "40", "--rounds", "3", "--json", str(file)]) == 0
    page, result = capsys.readouterr().out, json.loads(file.read_text())
    for word in ("BranchyNet", "drawn digits", "load", "first call", "exit 1", "exit 2", "batch 40", "roofline", "µs"):
        assert word in page
    assert result["machine"]["versions"]["npcbnet"] == npcbnet.__version__
    assert [(row["batch"], row["exit"]) for row in result["rows"]] == [
        (batch, number) for batch in (1, 3, 40) for number in (None, 1, 2)]
    for row in result["rows"]:
        assert 0 < row["p50_us"] <= row["p95_us"] <= row["p99_us"] and row["layers_p50_us"] > 0
        assert row["calls"] == 3 * (measure.SINGLE if row["batch"] == 1 else measure.BATCHES)
    assert result["rows"][1]["share"] + result["rows"][2]["share"] == 1
    assert 0 < result["overhead"]["native_us"] and result["overhead"]["python_us"] < 1000
    assert all(line["limit"] in ("arithmetic", "memory") for line in result["roofline"])


def test_without_an_engine_it_says_so(model_file, monkeypatch, capsys):
    monkeypatch.setattr(runtime, "compile", Layerwise)
    assert bench.main([model_file, "--batches", "1", "--rounds", "1"]) == 0
    page = capsys.readouterr().out
    assert "no engine here" in page and "exit 2" in page and "roofline   " not in page


@pytest.mark.parametrize("words, says", [
    (["nosuch-model"], "nosuch-model"), (["MODEL", "--batches", "0"], "at least 1"),
    (["MODEL", "--threads", "0"], "threads"), (["MODEL", "--rounds", "0"], "rounds"),
    (["MODEL", "--images", "nosuch-data"], "nosuch-data")])
def test_mistakes_get_a_line_and_status_2(words, says, model_file, capsys):
    assert bench.main([model_file if word == "MODEL" else word for word in words]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.strip().splitlines()) == 1


def test_the_examples_in_the_help_are_commands():
    for line in bench.EXAMPLE.splitlines()[1:]:
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "npcbnet.bench"]
        options = bench.parser().parse_args(words[3:])
        assert options.model in modelfile.names() or options.model.endswith(".npz")


def test_images_are_the_models_own_where_they_are_at_hand(monkeypatch):
    model = npcbnet.load("fmnist-lenet")
    monkeypatch.setattr(published, "at_hand", lambda name: False)
    monkeypatch.setattr(published, "read", lambda *_: pytest.fail("downloads"))
    assert measure.test_images(model)[1] == "drawn digits"
    pixels, source = measure.test_images(Classifier(Sequential([Flatten(), Dense(48, 3)]), (3, 4, 4), ("a", "b", "c")))
    assert source == "random pixels" and pixels.shape[1:] == (3, 4, 4) and pixels.dtype == np.uint8
    assert measure.test_images(model, "digits")[1] == "test images of digits (generated)"


def test_the_name_in_a_model_files_record_is_one_of_ours_or_nothing():
    assert not published.at_hand("/etc") and not published.at_hand("digits")


@pytest.mark.parametrize("name", modelfile.names())
def test_work_is_what_the_layers_say(name):
    model = npcbnet.load(name)
    work = roofline.work_of(model)
    folded = [layer for layer in getattr(model, "net", ()) if isinstance(layer, BatchNorm2d)]  # into convolutions
    folded_bytes = sum(array.nbytes for layer in folded for array in layer.params.values())
    assert work.multiply_adds == model.macs() and work.weight_bytes == model.parameter_bytes() - folded_bytes
    assert work.bytes_an_image(1) - work.bytes_an_image(2) == work.weight_bytes / 2


def test_work_of_a_residual_and_of_images_that_leave():
    body = Sequential([Conv2d(4, 6, 3, pad=1, groups=2), BatchNorm2d(6), ReLU(), Conv2d(6, 4, 1)])
    net = Sequential([Conv2d(1, 4, 3), MaxPool2d(2), Residual(body), Flatten(), Dense(4 * 5 * 5, 3)])
    initialise(net, np.random.default_rng(0))
    model = Classifier(net, (1, 12, 12), ("a", "b", "c"))
    assert roofline.work_of(model).multiply_adds == model.macs()
    assert roofline.work_of(model).map_bytes == 4 * (144 + 100 + 100 + 150 + 150 + 100 + 100 + 3)
    branchy = npcbnet.load("mnist-branchynet")
    assert roofline.work_of(branchy, 0.75).multiply_adds == pytest.approx(branchy.macs(0.75), abs=0.5)
    several = balexnet((3, 32, 32), tuple("0123456789"), np.random.default_rng(0))
    assert roofline.work_of(several).multiply_adds == several.macs()
    early = (0.5, 0.25)
    assert roofline.work_of(several, early).multiply_adds == pytest.approx(several.macs(early), abs=1.5)


@needs_engine
def test_the_peak_kernels_do_what_they_are_measured_by():
    from npcbnet.runtime.library import KERNEL, library
    lanes, registers = library().target.lanes, library().target.registers
    y, half, x = np.zeros(lanes, np.float32), np.full(2, 0.5, np.float32), np.arange(64 * lanes, dtype=np.float32)
    fma, load = (KERNEL(library().address(name)) for name in ("peak_fma", "peak_load"))
    sums = fma(np.array([half.ctypes.data, y.ctypes.data, 8], np.int64).ctypes.data) // lanes
    assert 8 <= sums < registers
    np.testing.assert_array_equal(y, sum(range(sums)) + sums * 8 / 4)
    assert len(x) % load(np.array([x.ctypes.data, y.ctypes.data, len(x), 3], np.int64).ctypes.data) == 0
    np.testing.assert_array_equal(y, 3 * x.reshape(-1, lanes).sum(axis=0))


@needs_engine
def test_peaks_are_those_of_a_processor():
    peaks = roofline.Peaks()
    assert 1e8 < peaks.multiply_adds_s < 1e13
    assert 1e7 < peaks.load_bytes_s(1 << 20) < 1e13 and peaks.load_bytes_s(1) > 0


def test_roofline_tells_which_peak_is_nearer(monkeypatch):
    class Machine:
        multiply_adds_s = 1e9

        def load_bytes_s(self, size):
            return 1e9

    monkeypatch.setattr(roofline, "Peaks", Machine)
    model = npcbnet.load("mnist-cbnet-table1")
    alone, many = roofline.rooflines(model, {1: 5000.0, 512: 1000.0}, 0.0, 16, 2)
    assert alone["limit"] == "memory" and many["limit"] == "arithmetic"
    assert alone["memory_share"] == pytest.approx(alone["moved_bytes"] / 1e9 / 5000e-6)
    assert many["arithmetic_share"] == pytest.approx(model.macs() / 2e9 / 1000e-6)  # two threads, two peaks
    assert many["moved_bytes"] < alone["moved_bytes"] / 10


@needs_engine
def test_the_native_call_answers_as_predict_does():
    model = npcbnet.load("mnist-branchynet")
    predictor, native = runtime.compile(model), measure.Native(model)
    for pixels in np.split(measure.test_images(model, "digits")[0][:20], 20):
        native.take(pixels)
        assert native.run(native.start) == 0
        label, exit_taken = native.answers[1][0], native.answers[2][0]
        assert (label, exit_taken) == (predictor.predict(pixels)[0], predictor.explain(pixels).exit[0])


def test_data_without_test_images_are_refused(model_file, tmp_path, capsys):
    path = tmp_path / "tiny.npz"
    np.savez(path, x_train=np.zeros((10, 28, 28), np.uint8), y_train=np.arange(10))
    assert bench.main([model_file, "--images", str(path)]) == 2
    error = capsys.readouterr().err
    assert "tiny has no test images" in error and error.count("\n") == 1


def test_impossible_batches_are_named():
    with pytest.raises(UsageError, match="a batch must be at least 1"):
        measure.measure("mnist-lenet", batches=[1, -2])
