"""python -m npcbnet.train DATASET --net caenet: a run from start to end, its options, and what it refuses."""
import json
import signal
import sys

import numpy as np
import pytest

import npcbnet
from npcbnet import clustering
from npcbnet.caenet.stages import Stages
from npcbnet.data.dataset import Dataset, Split
from npcbnet.layers import AvgPool2d, BatchNorm2d, Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets import Classifier, vgg16
from npcbnet.run import Run, begin
from npcbnet.train import main
from tests.test_train_command import command, model_bytes, small, stopped  # noqa: F401

WORDS = ("--net", "caenet", "--epochs", 4, "--seed", 5, "--clusters", 2)
MODELS = ("lenet", "caenet-random", "caenet-transfer", "caenet", "caenet-scratch", "caenet-fast")


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):  # noqa: F811
    """One run from start to end."""
    out = tmp_path_factory.mktemp("caenet")
    done = command(small, *WORDS, "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done


def test_a_run_leaves_models_controls_report_and_pictures(whole, small):  # noqa: F811
    out, done = whole
    report = json.loads((out / "report.json").read_text())
    rows = {row["model"]: row for row in report["rows"]}
    assert tuple(rows) == MODELS and "--net caenet" in report["command"]
    data = np.load(small)
    for key, row in rows.items():
        model = npcbnet.load(out / f"{key}.npz")
        assert (model.predict(data["x_test"]) == data["y_test"]).mean() == pytest.approx(row["accuracy"], abs=1e-9)
        assert row["macs"] == model.macs()
        assert row["dead_activations"] is None if key == "caenet-fast" else 0 <= row["dead_activations"] <= 1
    assert report["clustering"] == {"method": "k-means", "clusters": [2] * 4}
    assert report["reconstruction_loss"] > 0 and not list(out.glob("checkpoint-*"))
    assert npcbnet.load(out / "converter.npz").convert(data["x_test"][:2]).shape == (2, 1, 12, 12)
    for picture in ("loss.png", "strips-converter.png"):
        assert (out / picture).stat().st_size > 1000
    assert "CAE-Net (scratch)" in done.stdout and "faster than LeNet" in (out / "report.md").read_text()


@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_same_bytes(whole, small, tmp_path):  # noqa: F811
    status, said = stopped((small, *WORDS), tmp_path / "run", "transfer epoch 1/4", signal.SIGKILL)
    assert status == -9 and "random epoch 4/4" in said
    done = command("--resume", "--out", tmp_path / "run", "--threads", 2)
    assert done.returncode == 0, done.stderr
    assert model_bytes(tmp_path / "run") == model_bytes(whole[0])


@pytest.mark.parametrize("words, says", [(("--net", "caenet", "--recipe", "fast"), "--recipe"),
                                         (("--net", "caenet", "--clusters", "0"), "--clusters"),
                                         (("--clusters", "3"), "--net caenet"),
                                         (("--net", "caenet", "--clustering", "cosine", "--clusters", "3"), "k-means"),
                                         (("--net", "caenet", "--clustering", "stars"), "--clustering")])
def test_options_of_the_other_net_get_one_line(words, says, tmp_path):
    done = command("digits", *words, "--out", tmp_path / "run")
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["dbscan", "hdbscan"])
def test_a_missing_scikit_learn_is_told_before_anything_is_trained(method, small, tmp_path, monkeypatch,  # noqa: F811
                                                                   capsys):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    new, old = tmp_path / "new", tmp_path / "old"
    begin(Run(str(small), net="caenet", clustering=method), old)  # on another machine
    for words, out in (([str(small), "--net", "caenet", "--clustering", method], new), (["--resume"], old)):
        assert main([*words, "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert "pip install scikit-learn" in error and error.count("\n") == 1
    assert not new.exists() and [path.name for path in old.iterdir()] == ["run.json"]


def test_images_that_no_converter_can_restore_are_told_before_anything_is_trained(tmp_path, capsys):
    images = np.zeros((60, 12, 13), np.uint8)
    np.savez(tmp_path / "odd.npz", x_train=images, y_train=np.arange(60) % 3, x_test=images, y_test=np.arange(60) % 3)
    assert main([str(tmp_path / "odd.npz"), "--net", "caenet", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "cannot restore images of 12x13" in said[-1] and not any("stage" in line for line in said)
    assert not list((tmp_path / "run").glob("checkpoint*"))


# --- features of another model ---
def viewer(shape=(1, 12, 12)):
    """A classifier of one convolution, which has learned nothing: 3 x 6 x 6 features."""
    rng = np.random.default_rng(0)
    net = Sequential([Conv2d(shape[0], 3, 3, pad=1), BatchNorm2d(3), ReLU(), MaxPool2d(2), Flatten(),
                      Dense(3 * (shape[1] // 2) ** 2, 2)])
    return Classifier(initialise(net, rng), shape, ("a", "b"))


def test_features_come_from_the_model_that_the_run_names(small, tmp_path):  # noqa: F811
    npcbnet.save(viewer(), tmp_path / "viewer.npz")
    images = np.load(small)["x_train"]
    part = Split(images, np.load(small)["y_train"].astype(np.int64))
    data = Dataset("small", "small", part, part, part, ("zero", "one", "two", "three"))
    run = Run("small", net="caenet", features=str(tmp_path / "viewer.npz"))
    assert "--features" in run.command() and Run("small", net="caenet") != run
    found = Stages(run, data, tmp_path, quiet=True).features(baseline=None)
    x = viewer().net[:4].forward(images / np.float32(255))[0]
    np.testing.assert_allclose(found, x.reshape(len(images), 108), atol=1e-6)


def test_vgg16_has_the_papers_512_features():
    model = vgg16((3, 32, 32), ("a", "b"), np.random.default_rng(0),
                  stages=((4, 2), (4, 2), (8, 3), (8, 3), (512, 3)))
    images = np.random.default_rng(1).integers(0, 256, (2, 3, 32, 32), np.uint8)
    found = clustering.convolutional(model, images)
    assert found.shape == (2, 512)
    np.testing.assert_array_equal(
        found, clustering.features_at(model, images, clustering.after_convolution(model.net, 13)))


@pytest.mark.parametrize("words, says", [
    (("--net", "caenet", "--features", "large.npz"), "import_weights"),
    (("--net", "caenet", "--features", "digits-cbnet"), "not a CBNet"),
    (("--net", "caenet", "--features", "dense.npz"), "no convolutions"),
    (("--net", "caenet", "--features", "means.npz"), "no convolutions"),
    (("--net", "caenet", "--features", "missing.npz"), "no such file"), (("--features", "large.npz"), "--net caenet")])
def test_a_model_without_fitting_features_is_refused_before_the_run_begins(words, says, small, tmp_path,  # noqa: F811
                                                                         monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    npcbnet.save(viewer((1, 28, 28)), "large.npz")
    for name, layers in ("dense", [Flatten(), Dense(144, 2)]), ("means", [AvgPool2d(2), Flatten(), Dense(36, 2)]):
        net = initialise(Sequential(layers), np.random.default_rng(0))
        npcbnet.save(Classifier(net, (1, 12, 12), ("a", "b")), f"{name}.npz")
    assert main([str(small), *words, "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_resumed_run_misses_its_model_before_it_trains(small, tmp_path, capsys):  # noqa: F811
    begin(Run(str(small), net="caenet", epochs=1, features="gone.npz"), tmp_path / "run")
    assert main(["--resume", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "gone.npz: no such file" in error and not list((tmp_path / "run").glob("checkpoint-*"))
