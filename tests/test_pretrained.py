"""The models that come with the package: all there, small, from a named command, and as good as they say."""
import numpy as np
import pytest

import npcbnet
from benchmarks.ship_pretrained import LIMIT_BYTES, MODEL_LIMIT_BYTES
from npcbnet import modelfile
from npcbnet.errors import NpcbnetError
from npcbnet.kernels._jit import COMPILED
from tests.real_images import real

KINDS = {"lenet": "classifier", "branchynet": "branchynet", "lightweight": "classifier", "cbnet": "cbnet",
         "caenet": "classifier", "alexnet": "classifier"}
NAMES = [f"{dataset}-{kind}" for dataset in ("digits", "fmnist", "mnist") for kind in list(KINDS)[:4]]
NAMES += ["mnist-cbnet-table1", "fmnist-cbnet-table1", "mnist-caenet", "mnist-caenet-fast",
          "fmnist-caenet", "fmnist-caenet-fast", "cifar10-caenet", "cifar10-alexnet"]


def test_all_are_there_and_together_small():
    assert set(NAMES) == set(modelfile.names())
    sizes = [path.stat().st_size for path in modelfile.PRETRAINED.glob("*.npz")]
    assert max(sizes) <= MODEL_LIMIT_BYTES and sum(sizes) <= LIMIT_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_each_says_how_it_was_made_and_is_as_good_as_it_says(name):
    model = npcbnet.load(name)
    dataset = name.split("-")[0]
    assert model.kind == KINDS[name.split("-")[1]]
    assert model.record["command"].startswith(f"python -m npcbnet.train {dataset}")
    test = real(dataset).test
    few = dataset == "cifar10" or not COMPILED
    right = model.predict(test.images[:200]) == test.labels[:200] if few else model.predict(test.images) == test.labels
    slack = 0.05 if few else 0.002
    assert abs(right.mean() - model.record["test_accuracy"]) < slack


def test_unknown_names_list_the_known():
    with pytest.raises(NpcbnetError, match=r"[^f]mnist-\{.*cbnet"):
        npcbnet.load("mnist-resnet")


def test_the_lightweight_dnn_is_the_branchynet_cut_after_its_exit():
    net, light = npcbnet.load("mnist-branchynet"), npcbnet.load("mnist-lightweight")
    ours = [*net.stem.params.values(), *net.branch.params.values()]
    assert all(np.array_equal(a, b) for a, b in zip(ours, light.net.params.values(), strict=True))
