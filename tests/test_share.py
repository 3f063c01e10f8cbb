"""Weight sharing: k-means, training that keeps codes and zeros, and the codebooks of model files, hostile ones too."""
import copy
import hashlib
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

import npcbnet
from npcbnet import codebook, modelfile, npyfile
from npcbnet.compress import structure
from npcbnet.compress.constrained import Constrained
from npcbnet.compress.prune import prune
from npcbnet.compress.share import k_means, nearest, share, shared, train
from npcbnet.data import digits
from npcbnet.errors import ModelFileError, UsageError
from npcbnet.layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets import Classifier, lenet
from npcbnet.training import ClassifierTask, Plan, fit
from tests.small_models import net, small_digits, small_lenet
from tests.test_modelfile_hostile import npy, pack, refused, unpack

IMAGES, LABELS = digits.generate(200, seed=3)


def small(seed=0):
    """A net with weights enough for codebooks, its first layer too small for one."""
    net = Sequential([Conv2d(1, 2, 3), MaxPool2d(2), ReLU(), Conv2d(2, 12, 3), ReLU(), Flatten(), Dense(12 * 121, 10)])
    return Classifier(initialise(net, np.random.default_rng(seed)), (1, 28, 28), tuple("0123456789"))


# --- what was pruned before ---
def test_pruned_weights_stay_zero(monkeypatch):
    """...when they come to share values, and when they learn on; and when channels are pruned."""
    monkeypatch.setattr("npcbnet.compress.share.LEARNING_RATE", 3e-3)
    dataset = small_digits()
    model = Classifier(initialise(net((8, 12)), np.random.default_rng(0)), (1, 14, 14), small_lenet().class_names)
    fit(ClassifierTask(model.net, dataset.train.labels), dataset.train.images, Plan(6, 32, 3e-3), stage="x", quiet=True)
    model = prune(model, 0.5)
    name = max(model.net.params, key=lambda name: model.net.params[name].size)
    zeros = model.net.params[name] == 0
    assert 0.3 < zeros.mean() < 0.7
    for made in (share(model, 4), train(model, dataset, 4, epochs=5)):
        weight = made.net.params[name]
        assert (weight[zeros] == 0).all() and (weight != 0).mean() > 0.2 and len(np.unique(weight)) <= 4
    assert made.record["shared"]["trained_is_kept"]
    smaller = structure.train(model, dataset, 0.25, epochs=1, rounds=1)
    assert (smaller.net.params[name] == 0).mean() > 0.3


def test_the_gradient_of_codes_below_zero_is_none():
    gradient, codes = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([[0, -1, 1], [1, 0, -1]], np.int16)
    constrained = Constrained(SimpleNamespace(gradients=lambda *_: (0.0, {"w": gradient})), {"w": codes})
    assert constrained.gradients(None, None, 1, None)[1]["w"].tolist() == [[4, 0, 5], [5, 4, 0]]


# --- training on ---
def test_what_is_shared_learns_on_and_goes_on_sharing(tmp_path, monkeypatch):
    monkeypatch.setattr("npcbnet.compress.share.LEARNING_RATE", 3e-3)  # the images are few
    dataset = small_digits()
    model = Classifier(initialise(net((8, 12)), np.random.default_rng(0)), (1, 14, 14), small_lenet().class_names)
    fit(ClassifierTask(model.net, dataset.train.labels), dataset.train.images, Plan(6, 32, 3e-3), stage="x", quiet=True)
    for first in (True, False):
        made = train(model, dataset, 4, first=first, epochs=5)
        only = share(model, 4, first)
        arrays = [array for array in made.net.params.values() if array.ndim > 1]
        counts = [len(np.unique(array)) for array in arrays]
        assert all(count <= 4 for count in counts[0 if first else 1:]) and (counts[0] > 4) is not first
        right = [(each.predict(dataset.validation.images) == dataset.validation.labels).mean() for each in (made, only)]
        assert right[0] > right[1]  # four values are few: there is much to learn
        assert made.record["shared"] == {"centroids": 4, "first": first, "epochs": 5, "trained_is_kept": True,
                                         "seed": 0}
        again = train(model, dataset, 4, first=first, epochs=5, threads=2, checkpoint=tmp_path / f"{first}.npz")
        assert all(np.array_equal(array, again.params[name]) for name, array in made.params.items())
    sizes = [modelfile.weight_bytes(each) for each in (model, made)]
    assert sizes[1] < sizes[0] / 4


def test_training_that_does_not_help_is_not_kept(monkeypatch):
    dataset, model = small_digits(), small_lenet()
    monkeypatch.setattr("npcbnet.compress.share.LEARNING_RATE", 10.0)
    made = train(model, dataset, 16, epochs=1)
    only = share(model, 16)
    assert made.record["shared"]["trained_is_kept"] is False
    assert all(np.array_equal(array, only.params[name]) for name, array in made.params.items())


# --- k-means ---
def test_k_means_finds_clear_clusters_and_is_never_worse_than_its_start():
    rng = np.random.default_rng(0)
    centres = np.array([-3.0, -1, 0.5, 4])
    values = rng.permutation(np.repeat(centres, 50) + rng.normal(0, 0.01, 200))
    found = k_means(values, 4)
    np.testing.assert_allclose(found, centres, atol=0.01)
    codes = nearest(values, found)
    for k in range(4):  # at rest: each centroid is the mean of its values
        assert found[k] == pytest.approx(values[codes == k].mean(), abs=1e-12)
    values = rng.standard_t(3, 5000)
    start = np.linspace(values.min(), values.max(), 16)
    errors = [np.square(values - centroids[np.abs(values[:, None] - centroids).argmin(axis=1)]).sum()
              for centroids in (start, k_means(values, 16))]
    assert errors[1] < 0.5 * errors[0]


def test_codes_name_the_nearest_centroid():
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(40, 30)).astype(np.float32)
    made, codes = shared(weight, 16)
    values = np.unique(made)
    assert len(values) <= 16 and made.dtype == np.float32 and codes.shape == weight.shape
    best = np.abs(weight.reshape(-1, 1) - values).min(axis=1)
    np.testing.assert_allclose(np.abs(made - weight).ravel(), best, atol=1e-6)
    assert all(len(np.unique(made[codes == code])) == 1 for code in np.unique(codes))


@pytest.mark.parametrize("values", [[2.0], [2.0] * 70, [0.0, 1.0] * 40])
def test_fewer_values_than_centroids(values):
    made, _ = shared(np.array([values], np.float32), 16)
    np.testing.assert_array_equal(made, [values])


def test_a_model_is_shared_layer_by_layer():
    model = small()
    before = copy.deepcopy(model.params)
    made = share(model, 32)
    assert all(np.array_equal(model.params[name], array) for name, array in before.items())
    sizes = {name: len(np.unique(array)) for name, array in made.params.items()}
    assert sizes["net.3.weight"] <= 32 and sizes["net.6.weight"] <= 32
    assert np.array_equal(made.params["net.0.weight"], before["net.0.weight"])  # 18 weights
    for centroids in (1, 0, 257, 2.5, True, "16"):
        with pytest.raises(UsageError, match="2 to 256 centroids"):
            share(model, centroids)


def test_the_first_layer_may_stay_as_it_is():
    model = lenet((1, 28, 28), tuple("0123456789"), np.random.default_rng(0))
    made = share(model, 2, first=False)
    counts = [len(np.unique(array)) for array in made.params.values() if array.ndim > 1]
    assert counts[0] > 100 and set(counts[1:]) == {2}
    assert len(np.unique(share(model, 2).params["net.0.weight"])) == 2


# --- training under constraints ---
def trained(threads=1):
    """A small net after two epochs, with one layer shared and one pruned, and what it was before."""
    model = small()
    conv, dense = model.params["net.3.weight"], model.params["net.6.weight"]
    conv[...], codes = shared(conv, 16)
    kept = np.random.default_rng(2).random(dense.shape) < 0.3
    dense *= kept
    before = copy.deepcopy(model.params)
    task = Constrained(ClassifierTask(model.net, LABELS), {"3.weight": codes, "6.weight": kept})
    history = fit(task, IMAGES, Plan(2, 100, 3e-3), stage="test", threads=threads, quiet=True)
    return model, before, codes, kept, history


def test_training_keeps_codes_and_zeros():
    model, before, codes, kept, history = trained()
    conv, dense = model.params["net.3.weight"], model.params["net.6.weight"]
    assert history[-1]["loss"] < history[0]["loss"]
    assert (conv != before["net.3.weight"]).mean() > 0.9 and (dense[kept] != before["net.6.weight"][kept]).mean() > 0.5
    assert all(len(np.unique(conv[codes == code])) == 1 for code in np.unique(codes))
    assert not dense[~kept].any()
    again = trained(threads=2)[0]
    assert all(np.array_equal(array, again.params[name]) for name, array in model.params.items())


def test_a_centroids_gradient_is_that_of_the_loss():
    """Moving one centroid by a little changes the loss by the constrained gradient of any weight that has it."""
    model = small()
    model.net.params = {name: array.astype(np.float64) for name, array in model.net.params.items()}
    weight = model.net.params["6.weight"]
    weight[...], codes = shared(weight, 8)
    task = Constrained(ClassifierTask(model.net, LABELS), {"6.weight": codes})
    x, index = IMAGES[:20] / 255, np.arange(20)
    loss, grads = task.gradients(x, index, 20, None)
    code, step = codes[0, 0], 1e-5
    weight[codes == code] += step
    more, _ = task.gradients(x, index, 20, None)
    assert (more - loss) / step == pytest.approx(grads["6.weight"][0, 0], rel=1e-3)


# --- the codebook of a file ---
@pytest.mark.parametrize("count", [64, 65, 1000, 3001])
@pytest.mark.parametrize("values", [1, 2, 15, 16, 17, 200, 256])
def test_codes_give_the_same_bits_back(count, values):
    rng = np.random.default_rng(count + values)
    book = rng.normal(size=values).astype(np.float32)
    book[:1] = -0.0
    array = book[rng.integers(0, values, count)]
    pair = codebook.encode(array)
    if pair is None:
        assert len(np.unique(array)) * 4 + count >= 2 * count  # codes and codebook would not be smaller
        return
    codes, found = pair
    assert codes.dtype == np.uint8 and codes.size == codebook.code_bytes(count, len(found))
    assert codes.size == (-(-count // 2) if len(found) <= 16 else count)
    back = codebook.decode(codes, found, array.shape)
    assert back.tobytes() == array.tobytes()


def test_what_has_no_codebook():
    rng = np.random.default_rng(0)
    assert codebook.encode(rng.normal(size=3000).astype(np.float32)) is None
    assert codebook.encode(np.zeros(63, np.float32)) is None
    late = np.zeros(codebook.SAMPLE + 500, np.float32)
    late[codebook.SAMPLE:] = rng.normal(size=500)  # many values, none among the first
    assert codebook.encode(late) is None


@pytest.mark.parametrize("centroids, dtype", [(16, "float32"), (32, "float32"), (16, "float16")])
def test_a_shared_model_is_small_on_disk_and_comes_back(centroids, dtype, tmp_path):
    model = small()
    made = share(model, centroids)
    npcbnet.save(model, tmp_path / "a.npz", dtype)
    npcbnet.save(made, tmp_path / "b.npz", dtype)
    found = npcbnet.load(tmp_path / "b.npz")
    for name, array in made.params.items():
        right = array.astype(np.float16).astype(np.float32) if dtype == "float16" else array
        assert found.params[name].tobytes() == right.tobytes() and found.params[name].dtype == np.float32
    small_file, file = os.path.getsize(tmp_path / "b.npz"), os.path.getsize(tmp_path / "a.npz")
    assert small_file < 0.3 * file if dtype == "float32" else small_file < 0.4 * file
    manifest, entries = unpack((tmp_path / "b.npz").read_bytes())
    assert manifest["format"] == 2 and manifest["arrays"]["net.6.weight"]["centroids"] <= centroids
    assert len(entries["net.6.weight.npy"]) - npyfile.HEADER == 12 * 121 * 10 // (2 if centroids == 16 else 1)
    npcbnet.save(found, tmp_path / "c.npz", dtype)
    if dtype == "float32":
        assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_model_that_shares_nothing_is_written_as_before(tmp_path):
    npcbnet.save(small(), tmp_path / "a.npz")
    manifest, entries = unpack((tmp_path / "a.npz").read_bytes())
    assert manifest["format"] == 1 and not any("codebook" in name for name in entries)
    assert all(entry.keys() == {"dtype", "shape", "sha256"} for entry in manifest["arrays"].values())


def test_weight_bytes_are_those_of_the_file(tmp_path):
    import zipfile
    pruned = small()
    pruned.params["net.6.weight"][:, 3:] = 0
    for model in (small(), share(small(), 16), pruned):
        npcbnet.save(model, tmp_path / "m.npz")
        with zipfile.ZipFile(tmp_path / "m.npz") as archive:
            size = sum(info.compress_size for info in archive.infolist() if info.filename != "manifest.npy")
        assert modelfile.weight_bytes(model) == size


def test_zeros_without_end_are_loaded_too(tmp_path):
    """36 MB of one value would be codes that deflate 1,000-fold: what is saved must not look like a bomb."""
    model = Classifier(Sequential([Flatten(), Dense(3000, 3000), Dense(3000, 2)]), (1, 50, 60), ("a", "b"))
    model.set_params({name: np.zeros(shape, np.float32) for name, shape in model.param_shapes().items()})
    npcbnet.save(model, tmp_path / "zeros.npz")
    assert os.path.getsize(tmp_path / "zeros.npz") > 4e6
    assert np.array_equal(npcbnet.load(tmp_path / "zeros.npz").params["net.1.weight"], model.params["net.1.weight"])


# --- hostile codebooks ---
WEIGHT = "net.6.weight"


@pytest.fixture
def good(tmp_path):
    """(manifest, entries) of a sound file with codes of 4 bits."""
    npcbnet.save(share(small(), 16), tmp_path / "good.npz")
    return unpack((tmp_path / "good.npz").read_bytes())


def resealed(manifest, entries, codes, values):
    """The file with these codes and values in the place of its own, its checksum right."""
    manifest["arrays"][WEIGHT]["sha256"] = hashlib.sha256(codes.tobytes() + values.tobytes()).hexdigest()
    return manifest, entries | {f"{WEIGHT}.npy": npy(codes), f"{WEIGHT}.codebook.npy": npy(values)}


@pytest.mark.parametrize("field, value, match", [
    ("centroids", 0, "cannot have a codebook of 0"), ("centroids", -1, "cannot have a codebook"),
    ("centroids", 257, "cannot have a codebook of 257"), ("centroids", 2 ** 31, "cannot have a codebook"),
    ("centroids", True, "cannot have a codebook of True"), ("centroids", 16.0, "cannot have a codebook"),
    ("centroids", "16", "cannot have a codebook"), ("centroids", None, "cannot have a codebook"),
    ("centroids", [16], "cannot have a codebook"), ("centroids", 15, "is not stored as"),
    ("centroids", 17, "is not stored as"), ("dtype", "<f2", "cannot have a codebook"),
    ("dtype", "|u1", "is described as"), ("codes", 4, "does not describe"), ("sha256", "0" * 64, "checksum")])
def test_descriptions_that_cannot_be(field, value, match, good, tmp_path):
    manifest, entries = good
    manifest["arrays"][WEIGHT][field] = value
    refused(pack(tmp_path / "m.npz", manifest, entries), match)


def test_format_1_has_no_codebooks(good, tmp_path):
    manifest, entries = good
    manifest["format"] = 1
    refused(pack(tmp_path / "m.npz", manifest, entries), "does not describe array")


def test_an_array_that_needs_no_codebook_brings_none(good, tmp_path):
    manifest, entries = good
    extra = {"net.6.bias.codebook.npy": npy(np.zeros(4, np.float32))}
    refused(pack(tmp_path / "m.npz", manifest, entries | extra), "'net.6.bias.codebook' is missing, or no part")
    without = {name: data for name, data in entries.items() if name != f"{WEIGHT}.codebook.npy"}
    refused(pack(tmp_path / "m.npz", manifest, without), f"'{WEIGHT}.codebook' is missing, or no part")


def test_codes_that_no_value_stands_behind(good, tmp_path):
    manifest, entries = good
    count, values = 12 * 121 * 10, np.linspace(-1, 1, 7).astype(np.float32)
    manifest["arrays"][WEIGHT]["centroids"] = 7
    codes = np.full(count // 2, 0x11, np.uint8)

    def refused_with(codes, values, match):
        refused(pack(tmp_path / "m.npz", *resealed(manifest, entries, codes, values)), match)

    npcbnet.load(pack(tmp_path / "m.npz", *resealed(manifest, entries, codes, values)))
    codes[100] = 0x71
    refused_with(codes, values, "do not fit its codebook of 7 values")
    codes[100] = 0x17
    refused_with(codes, values, "do not fit its codebook")
    codes[100] = 0x11
    refused_with(codes[:-1], values, "is not stored as")
    values[1] = np.nan
    refused_with(codes, values, "NaN or infinity")
    manifest["arrays"][WEIGHT]["centroids"] = 17
    wide = np.full(count, 17, np.uint8)
    refused_with(wide, np.zeros(17, np.float32), "do not fit its codebook of 17 values")


def test_half_a_byte_too_many():
    with pytest.raises(ModelFileError, match="do not end with its weights"):
        codebook.decode(np.array([0x10, 0x10], np.uint8), np.zeros(2, np.float32), (3,))


def test_a_bomb_of_codes(tmp_path):
    """Codes that deflate well, of weights that would fill 320 MB: refused before any is asked for."""
    net = Sequential([Flatten(), Dense(9000, 9000), Dense(9000, 2)])
    model = Classifier(net, (1, 90, 100), ("a", "b"))
    codes, values = np.zeros(9000 * 4500, np.uint8), np.zeros(2, np.float32)
    digest = hashlib.sha256(codes.tobytes() + values.tobytes()).hexdigest()
    plain = {name: np.zeros(shape, np.float32) for name, shape in model.param_shapes().items()
             if name != "net.1.weight"}
    arrays = {name: {"dtype": "<f4", "shape": list(array.shape), "sha256": hashlib.sha256(array).hexdigest()}
              for name, array in plain.items()}
    arrays["net.1.weight"] = {"dtype": "<f4", "shape": [9000, 9000], "sha256": digest, "centroids": 2}
    manifest = {"format": 2, "npcbnet": "1", "kind": "classifier", "config": model.config(),
                "preprocessing": "uint8 pixels / 255", "record": {"noise": os.urandom(400_000).hex()[:500_000]},
                "arrays": arrays}
    entries = {f"{name}.npy": npy(array) for name, array in plain.items()}
    entries |= {"net.1.weight.npy": npy(codes), "net.1.weight.codebook.npy": npy(values)}
    assert len(json.dumps(manifest)) < 1 << 20
    refused(pack(tmp_path / "m.npz", manifest, entries), "would unpack to 3\\d\\d,\\d+,\\d+ bytes", mib=60)
