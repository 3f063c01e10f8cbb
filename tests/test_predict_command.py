"""`python -m npcbnet.predict`: image files in, labels out."""
import json

import numpy as np
import pytest
from skimage.io import imsave

import npcbnet
from npcbnet import predict
from npcbnet.nets import branchynet_lenet


@pytest.fixture
def model_file(tmp_path):
    net = branchynet_lenet((1, 12, 12), ("a", "b", "c"), np.random.default_rng(0), threshold=1.05)
    npcbnet.save(net, tmp_path / "model.npz")
    return str(tmp_path / "model.npz")


@pytest.fixture
def images(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (3, 12, 12), dtype=np.uint8)
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for path, image in zip(paths, pixels):
        imsave(path, image, check_contrast=False)
    return pixels, paths


def test_it_says_what_predict_says(model_file, images, capsys):
    pixels, paths = images
    assert predict.main([model_file, *paths, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    answer = npcbnet.load(model_file).explain(pixels)
    assert [row["label"] for row in rows] == ["abc"[label] for label in answer.label]
    np.testing.assert_allclose([row["confidence"] for row in rows], answer.confidence, rtol=1e-6)
    assert [row["exit"] for row in rows] == answer.exit.tolist()
    assert predict.main([model_file, paths[0], "--invert"]) == 0
    inverted = npcbnet.load(model_file).explain(255 - pixels[0])
    assert capsys.readouterr().out == f"{paths[0]}: {'abc'[inverted.label[0]]} ({inverted.confidence[0]:.1%}), " \
        f"exit {inverted.exit[0]} of 2\n"


@pytest.mark.parametrize("words, says", [
    (["MODEL", "nosuch.png"], "nosuch.png"), (["nosuch-model", "IMAGE"], "nosuch-model"),
    (["MODEL", "MODEL"], "model.npz")])
def test_mistakes_get_a_line_and_status_2(words, says, model_file, images, capsys):
    places = {"MODEL": model_file, "IMAGE": images[1][0]}
    assert predict.main([places.get(word, word) for word in words]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.strip().splitlines()) == 1
