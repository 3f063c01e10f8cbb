"""The training loop: same bits on any number of threads and after a stop, a clear end when the loss is no number."""
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from npcbnet import training
from npcbnet.data.augment import flipped, shifted
from npcbnet.errors import TrainingError
from npcbnet.gradcheck import gradcheck
from npcbnet.layers import (BatchNorm2d, Conv2d, Dense, Dropout, Flatten, Layer, MaxPool2d, ReLU, Residual, Sequential,
                            initialise)
from npcbnet.layers import winograd_square
from npcbnet.layers.conv2d import tiled
from npcbnet.losses import cross_entropy
from npcbnet.nets import branchynet_lenet
from npcbnet.optim import SGD
from npcbnet.training import (SHARD, BranchyNetTask, ClassifierTask, Plan, batch_gradients, fit, kept_memory,
                              rate_factor, update)

SHAPE, NAMES = (1, 8, 8), ("a", "b", "c")


def blobs(count, rng):
    """Images of three classes that a small net can learn: a bright square at one of three places."""
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 60, (count, *SHAPE), dtype=np.uint8)
    for image, label in zip(images, labels):
        image[0, 2 * label:2 * label + 3, 2:5] += 150
    return images, labels


def small_net(seed=0, dropout=0.0):
    net = Sequential([Conv2d(1, 4, 3, pad=1), MaxPool2d(2), ReLU(), Flatten(), Dropout(dropout), Dense(64, 3)])
    return initialise(net, np.random.default_rng(seed))


def trained(threads=1, epochs=3, checkpoint=None, plan=None, dropout=0.3):
    images, labels = blobs(300, np.random.default_rng(1))
    net = small_net(dropout=dropout)
    plan = plan or Plan(epochs, batch=150, decay=1, shift=1, flip=True, seed=3)
    history = fit(ClassifierTask(net, labels), images, plan, stage="test", threads=threads,
                  checkpoint=checkpoint, quiet=True)
    return net, history


def same(a, b):
    return all(np.array_equal(a.params[name], b.params[name]) for name in a.params)


def test_it_learns():
    _, history = trained(plan=Plan(12, batch=32, learning_rate=1e-2), dropout=0.0)
    assert history[-1]["loss"] < 0.1 * history[0]["loss"]


def test_any_number_of_threads_gives_the_same_bits():
    one, history = trained(threads=1)
    three, other = trained(threads=3)
    assert same(one, three) and history == other


def test_a_net_of_many_channels_has_the_same_bits_on_any_number_of_threads():
    images, labels = blobs(2 * SHARD + 20, np.random.default_rng(1))
    nets = []
    for threads in 1, 3:
        net = Sequential([Conv2d(1, 64, 3, pad=1), ReLU(), Conv2d(64, 96, 3, pad=1), ReLU(), Conv2d(96, 5, 3, 2, 1),
                          Flatten(), Dense(80, 3)])
        nets.append(initialise(net, np.random.default_rng(0)))
        fit(ClassifierTask(net, labels), images, Plan(1, batch=150), stage="test", threads=threads, quiet=True)
    assert tiled((64, 8, 8, SHARD), (96, 64, 3, 3), (96, 8, 8, SHARD), 1, 1, 1) is winograd_square.convolved
    assert same(*nets)


def normalised_net(seed=0):
    body = Sequential([Conv2d(4, 4, 3, pad=1, groups=4, bias=False), BatchNorm2d(4)])
    net = Sequential([Conv2d(1, 4, 3, pad=1, bias=False), BatchNorm2d(4), ReLU(), Residual(body), MaxPool2d(2),
                      Flatten(), Dense(64, 3)])
    return initialise(net, np.random.default_rng(seed))


def test_statistics_have_the_same_bits_on_any_number_of_threads_and_after_a_stop(tmp_path):
    images, labels = blobs(300, np.random.default_rng(1))
    nets = [normalised_net() for _ in range(4)]
    for net, threads in zip(nets, (1, 3)):
        fit(ClassifierTask(net, labels), images, Plan(3, batch=150), stage="test", threads=threads, quiet=True)
    assert same(nets[0], nets[1])
    assert not (nets[0].params["3.body.1.running_mean"] == 0).any()
    path = tmp_path / "checkpoint.npz"

    def stop():
        if path.exists():
            raise Stop
        return {}

    with pytest.raises(Stop):
        fit(ClassifierTask(nets[2], labels), images, Plan(3, batch=150), stage="test", quiet=True, checkpoint=path,
            validate=stop)
    fit(ClassifierTask(nets[3], labels), images, Plan(3, batch=150), stage="test", quiet=True, checkpoint=path,
        validate=lambda: {})
    assert same(nets[0], nets[3])


def test_a_net_with_statistics_learns_and_predicts_as_well_as_it_learned():
    images, labels = blobs(300, np.random.default_rng(1))
    net = normalised_net()
    history = fit(ClassifierTask(net, labels), images, Plan(8, batch=50, learning_rate=1e-2), stage="test", quiet=True)
    assert history[-1]["loss"] < 0.1 * history[0]["loss"]
    assert (net.forward(images.astype(np.float32) / 255)[0].argmax(axis=1) == labels).mean() > 0.98


def test_once_a_batch_statistics_move_towards_the_mean_of_what_the_shards_measured():
    images, labels = blobs(SHARD + 30, np.random.default_rng(2))
    net = initialise(Sequential([BatchNorm2d(1, momentum=0.25), Flatten(), Dense(64, 3)]), np.random.default_rng(0))
    net.params["0.running_mean"][:] = 0.5
    task = ClassifierTask(net, labels)
    _, grads = batch_gradients(task, images, np.arange(len(images)), Plan(1), np.random.SeedSequence(0))
    update(task, SGD(0.0), grads)
    pixels = images.astype(np.float64) / 255
    shards = [pixels[:SHARD], pixels[SHARD:]]
    variance = sum(len(shard) * shard.var(ddof=1) for shard in shards) / len(images)
    assert net.params["0.running_mean"] == pytest.approx(0.75 * 0.5 + 0.25 * pixels.mean(), rel=1e-5)
    assert net.params["0.running_var"] == pytest.approx(0.75 * 1 + 0.25 * variance, rel=1e-5)


def test_the_optimiser_never_sees_statistics():
    net, seen = normalised_net(), []

    class Watched(SGD):
        def update(self, params, grads):
            seen.extend(params)

    task = ClassifierTask(net, None)
    update(task, Watched(), {name: np.ones_like(array) for name, array in net.params.items()})
    assert set(seen) == set(net.params) - set(net.statistics) and len(net.statistics) == 4
    np.testing.assert_array_equal(net.params["1.running_var"], 0)  # 1, where it starts, minus its step


class Stop(Exception):
    """Stands for a kill."""


def test_a_stopped_run_continues_to_the_same_bits(tmp_path):
    whole, history = trained(epochs=4)
    images, labels = blobs(300, np.random.default_rng(1))
    net, path = small_net(dropout=0.3), tmp_path / "checkpoint.npz"
    epochs_seen = []

    def validate():
        epochs_seen.append(1)
        if len(epochs_seen) == 3:
            raise Stop
        return {}

    plan = Plan(4, batch=150, decay=1, shift=1, flip=True, seed=3)
    with pytest.raises(Stop):
        fit(ClassifierTask(net, labels), images, plan, stage="test", checkpoint=path, validate=validate, quiet=True)
    continued, other = trained(epochs=4, checkpoint=path)
    assert same(whole, continued) and [row["loss"] for row in other] == [row["loss"] for row in history]
    finished, _ = trained(epochs=4, checkpoint=path)
    assert same(whole, finished)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    trained(epochs=1, checkpoint=path)
    with pytest.raises(TrainingError, match="another plan"):
        trained(epochs=2, checkpoint=path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TrainingError, match="is damaged"):
        trained(epochs=1, checkpoint=path)


def test_nan_stops_with_epoch_and_batch_and_keeps_the_last_checkpoint(tmp_path):
    images, labels = blobs(300, np.random.default_rng(1))
    net, path = small_net(), tmp_path / "checkpoint.npz"

    class Poisoned(ClassifierTask):
        calls = 0

        def gradients(self, x, index, count, rng):
            self.calls += 1
            loss, grads = super().gradients(x, index, count, rng)
            return (np.nan if self.calls > 9 else loss), grads

    with pytest.raises(TrainingError, match="epoch 2, batch 2"):  # three shards a batch, two batches an epoch
        fit(Poisoned(net, labels), images, Plan(3, batch=150), stage="test", checkpoint=path, quiet=True,
            validate=lambda: {})
    assert len(np.load(path)["manifest"].item()) > 10
    good, _ = trained(plan=Plan(3, batch=150), checkpoint=path, dropout=0.0)
    assert all(np.isfinite(array).all() for array in good.params.values())


def test_an_update_that_explodes_is_not_kept(tmp_path):
    images, labels = blobs(100, np.random.default_rng(1))
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(TrainingError, match="after epoch 1, batch 1"), np.errstate(all="ignore"):
        fit(ClassifierTask(small_net(), labels), images, Plan(2, batch=100, learning_rate=1e39), stage="test",
            checkpoint=path, quiet=True)
    assert not path.exists()


def test_a_checkpoint_of_other_labels_is_refused(tmp_path):
    images, labels = blobs(100, np.random.default_rng(1))
    options = {"stage": "test", "checkpoint": tmp_path / "checkpoint.npz", "quiet": True}
    fit(ClassifierTask(small_net(), labels), images, Plan(1), **options)
    with pytest.raises(TrainingError, match="another task"):
        fit(ClassifierTask(small_net(), (labels + 1) % 3), images, Plan(1), **options)


def test_a_damaged_checkpoint_is_named_and_changes_nothing(tmp_path):
    path = tmp_path / "checkpoint.npz"
    trained(epochs=1, checkpoint=path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    net, (images, labels) = small_net(dropout=0.3), blobs(300, np.random.default_rng(1))
    before = {name: array.copy() for name, array in net.params.items()}
    plan = Plan(1, batch=150, decay=1, shift=1, flip=True, seed=3)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(damaged))
        try:
            fit(ClassifierTask(net, labels), images, plan, stage="test", checkpoint=path, quiet=True)
            for name, array in before.items():
                net.params[name][...] = array
        except TrainingError as error:
            assert "checkpoint.npz" in str(error)
            assert all(np.array_equal(before[name], array) for name, array in net.params.items())
            refused += 1
    assert refused > 40


PAGES = """
import resource
import numpy as np
from npcbnet.training import kept_memory

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(size, np.uint8) for size in [3 << 20] * 8]  # below 4 MB NumPy asks for no huge pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with kept_memory():
    new_pages()
    again = new_pages()
pages = 8 * (3 << 20) // resource.getpagesize()
print(again / pages, new_pages() / pages)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep memory")
def test_memory_is_kept_between_shards_and_given_back_at_the_end():
    """In a process of its own: in a large one there may be free memory anyway."""
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)})
    assert done.returncode == 0, done.stderr
    again, after = map(float, done.stdout.split())
    assert again < 0.2 and after > 0.5


OPTIONS = """
import ctypes
import threading
from pathlib import Path
import numpy as np
from npcbnet.training import kept_memory

library = ctypes.CDLL(None)
library.malloc.restype = library.fopen.restype = ctypes.c_void_p

def told():
    file = ctypes.c_void_p(library.fopen(b"malloc.xml", b"w"))
    library.malloc_info(0, file)
    library.fclose(file)
    return Path("malloc.xml").read_text()

def by_mmap():
    return int(told().rsplit('type="mmap" count="', 1)[1].split('"')[0])

def arenas():
    asked, go = threading.Barrier(5), threading.Event()
    def work():
        library.malloc(5000)
        asked.wait()
        go.wait()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    asked.wait()
    count = told().count("<heap nr")
    go.set()
    for thread in threads:
        thread.join()
    return count

with kept_memory():
    before = by_mmap()
    kept = np.ones(16 << 20, np.uint8)
    inside = by_mmap() - before
before = by_mmap()
arrays = [np.ones(16 << 20, np.uint8) for _ in range(4)]
print(inside, by_mmap() - before, arenas())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep memory")
def test_the_process_does_not_stay_as_training_wants_it(tmp_path):
    """Behind training large arrays come from the system again, and threads have arenas of their own."""
    done = subprocess.run([sys.executable, "-c", OPTIONS], capture_output=True, text=True, timeout=120, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)})
    assert done.returncode == 0, done.stderr
    inside, after, arenas = map(int, done.stdout.split())
    assert inside == 0 and after == 4 and arenas > 1


def test_where_the_c_library_is_another_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(training, "ctypes", SimpleNamespace(CDLL=lambda name: object()))
    with kept_memory():
        assert trained(epochs=1)[1]


def test_shards_add_up_to_the_batch():
    images, labels = blobs(3 * SHARD + 5, np.random.default_rng(2))
    net = small_net()
    task, index = ClassifierTask(net, labels), np.arange(len(images))
    loss, grads = batch_gradients(task, images, index, Plan(1), np.random.SeedSequence(0))
    x = images.astype(np.float32) / 255
    z, backward = net.forward(x, True, np.random.default_rng(0))
    whole, dz = cross_entropy(z, labels)
    expected = backward(dz)[1]
    assert loss == pytest.approx(whole, rel=1e-5)
    for name in expected:
        np.testing.assert_allclose(grads[name], expected[name], rtol=1e-3, atol=1e-6)


class JointNet(Layer):
    """BranchyNet as one layer with two outputs side by side, for gradcheck to judge the sum in the stem's backward."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.params = dict(net.params)

    def forward(self, x, train=False, rng=None):
        self.net.set_params(self.params)
        shared, stem_backward = self.net.stem.forward(x, train)
        outs = [part.forward(shared, train) for part in (self.net.branch, self.net.trunk)]

        def backward(dy, need_dx=True):
            (d1, g1), (d2, g2) = outs[0][1](dy[:, :3]), outs[1][1](dy[:, 3:])
            dx, g0 = stem_backward(d1 + d2)
            named = {"stem": g0, "branch": g1, "trunk": g2}
            return dx, {f"{part}.{name}": g for part, grads in named.items() for name, g in grads.items()}

        return np.concatenate([out[0] for out in outs], axis=1), backward


def test_the_stem_receives_the_sum_of_both_heads():
    net = branchynet_lenet(SHAPE, NAMES, np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((3, *SHAPE))
    assert gradcheck(JointNet(net), x, np.random.default_rng(2)) < 1e-6


def test_joint_gradients_are_the_sum_of_both_losses():
    images, labels = blobs(40, np.random.default_rng(2))
    net = branchynet_lenet(SHAPE, NAMES, np.random.default_rng(0))
    joint = BranchyNetTask(net, labels)
    x, index = images.astype(np.float32) / 255, np.arange(40)
    loss, grads = joint.gradients(x, index, 40, None)
    early = ClassifierTask(Sequential([*net.stem, *net.branch]), labels).gradients(x, index, 40, None)
    late = ClassifierTask(Sequential([*net.stem, *net.trunk]), labels).gradients(x, index, 40, None)
    assert loss == pytest.approx(early[0] + late[0], rel=1e-6)
    np.testing.assert_allclose(grads["stem.0.weight"], early[1]["0.weight"] + late[1]["0.weight"], rtol=1e-3, atol=1e-6)


def test_the_learning_rate_is_constant_then_falls_to_zero():
    plan = Plan(10, decay=4)
    assert [rate_factor(plan, step, 5) for step in (0, 29, 30)] == [1, 1, 1]
    assert rate_factor(plan, 40, 5) == pytest.approx(0.5)
    assert 0 < rate_factor(plan, 49, 5) < 0.01
    assert rate_factor(Plan(10), 49, 5) == 1


def test_shifts_and_flips_move_pixels_and_lose_none_but_the_border():
    rng = np.random.default_rng(0)
    images = np.zeros((200, 1, 7, 7), np.uint8)
    images[:, 0, 3, 3] = 9
    moved = shifted(images, 2, rng)
    places = {tuple(np.argwhere(image[0])[0]) for image in moved}
    assert (moved.sum(axis=(1, 2, 3)) == 9).all() and len(places) == 25
    images[:, 0, 3, 1] = 5
    mirrored = flipped(images, rng)
    assert set(map(int, mirrored[:, 0, 3, 5])) == {0, 5}
    assert np.array_equal(images[:, 0, 3, 1], np.full(200, 5))
