"""CAE-Net's evaluation: what follows from its rows, its targets with and without clusters, rivals; wrong options."""
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from npcbnet import clustering, conversion, judge, modelfile, runtime
from npcbnet.caenet import recipe
from npcbnet.caenet.stages import Stages, accuracy, measure_statistics, reconstruction_loss
from npcbnet.compress import search, slo
from npcbnet.compress.stopwatch import Stopwatch
from npcbnet.data import digits
from npcbnet.data.dataset import Dataset, Split
from npcbnet.errors import TrainingError, UsageError
from npcbnet.evaluate import __main__ as command
from npcbnet.evaluate.caenet import rivals, rows as caenet_rows, run
from npcbnet.evaluate.caenet.conversions import METHODS, Conversions, methods_at_hand
from npcbnet.evaluate.caenet.measured import Measured
from npcbnet.evaluate.caenet.trained import Seen
from npcbnet.evaluate.cbnet import ablations
from npcbnet.evaluate.kept import checkpoint_of, kept
from npcbnet.evaluate.scope import QUICK
from npcbnet.nets import CBNet, ConvConverter, balexnet, lenet, lightweight
from npcbnet.nets.caenet import caenet, parts
from npcbnet.run import Run
from npcbnet.training import ClassifierTask, Plan, fit
from tests.small_models import epochs_restored, fails, small_digits, small_lenet, stopped_after_an_epoch
from tests.test_slo import BRIEF, TINY, by_macs, same


def test_ratios_are_those_of_the_rows():
    rows = run.compared([
        {"dataset": "cifar10", "model": "alexnet", "latency_ms": 4.0, "power_w": 3.0},
        {"dataset": "cifar10", "model": "caenet", "latency_ms": 1.0, "power_w": 2.0},
        {"dataset": "mnist", "model": "lenet", "latency_ms": 0.02, "power_w": 3.0},
        {"dataset": "mnist", "model": "lenet-wp", "latency_ms": 0.0195, "power_w": 3.0}])
    alexnet, small, one, same = rows
    assert (small["speedup"], small["energy_mj"], small["energy_ratio"]) == (4.0, 2.0, 6.0)
    assert alexnet["slo_ms"] == pytest.approx(4.0 * 20 / 37.1) and one["slo_ms"] == pytest.approx(0.02 * 10 / 5.2)
    assert (alexnet["meets_slo"], small["meets_slo"], one["meets_slo"]) == (False, True, True)  # as in the paper
    assert small["faster"] and not same["faster"] and same["slo_ms"] == one["slo_ms"]


@pytest.mark.parametrize("names, keys", [
    (["cifar10", "mnist", "fmnist"], {"table1": "cifar10", "table2": "mnist", "table3": "fmnist"}),
    (["fmnist", "mnist"], {"table2": "mnist", "table3": "fmnist"}), (["digits"], {"table3": "digits"}),
    (["cifar10-part", "a", "b"], {"table1": "cifar10-part", "table3": "a", "table4": "b"})])
def test_tables_have_the_papers_numbers(names, keys):
    assert run.table_keys(names) == keys


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Stages of a small run of drawn digits, whose baseline has learned a little."""
    images, labels = digits.generate(700, seed=2, difficulty=0.1)
    parts = [Split(images[rows], labels[rows]) for rows in (slice(0, 500), slice(500, 600), slice(600, 700))]
    dataset = Dataset("digits", "drawn digits", *parts, tuple("0123456789"))
    made = Stages(Run("digits", epochs=4, net="caenet"), dataset, tmp_path_factory.mktemp("run"), threads=2,
                  quiet=True)
    made.baseline_net = lenet(dataset.input_shape, dataset.class_names, np.random.default_rng(0))
    fit(ClassifierTask(made.baseline_net.net, parts[0].labels), parts[0].images, Plan(15, 32, 2e-3), stage="test",
        quiet=True)
    return made


@pytest.fixture
def looks(monkeypatch):
    """How often, and with how many threads, all of some images were looked at: for "features" and for "easy"."""
    made = {"features": [], "easy": []}

    def features(baseline, images, threads=1, inner=clustering.penultimate):
        made["features"].append((len(images), threads))
        return inner(baseline, images, threads)

    def easy(engine, images, labels, inner=conversion.easy_by_entropy):
        made["easy"].append((len(images), engine.threads))
        return inner(engine, images, labels)

    monkeypatch.setattr(clustering, "penultimate", features)
    monkeypatch.setattr(conversion, "easy_by_entropy", easy)
    return made


def test_every_kind_of_target_is_judged_and_kept(stages, looks):
    scope = QUICK.__class__(ablation_epochs=1)
    rows = {row["method"]: row for row in Conversions(Seen(stages, stages.baseline_net), {}, scope).rows()}
    assert looks == {"features": [(500, 2), (100, 2)], "easy": [(500, 2)]}
    assert list(rows) == [caenet_rows.RANDOM_TARGET, caenet_rows.ONE_TARGET, *methods_at_hand()[0]]
    for method, row in rows.items():
        assert row["reconstruction_loss"] > 0 and 0 <= row["accuracy"] <= 1 and row["distance"] > 0
        assert (row["reconstruction_loss_validation"] is None) is (method == caenet_rows.RANDOM_TARGET)
    assert rows[caenet_rows.KMEANS]["clusters"] == 3 and rows[caenet_rows.ONE_TARGET]["clusters"] == 1
    assert rows[caenet_rows.KMEANS]["distance"] < rows[caenet_rows.RANDOM_TARGET]["distance"]
    before = stages.out.joinpath("conversions.json").stat().st_mtime_ns
    again = Conversions(Seen(stages, stages.baseline_net), {}, scope).rows()
    assert {row["method"]: row for row in again} == rows
    assert stages.out.joinpath("conversions.json").stat().st_mtime_ns == before and len(looks["easy"]) == 1
    assert not list(stages.out.glob("checkpoint-*")) and not list((stages.out / "conversions").iterdir())


def test_methods_without_their_library_are_left_out_and_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    found, notes = methods_at_hand()
    assert found == ["k-means", "cosine"] and len(notes) == 1 and "scikit-learn" in notes[0]
    monkeypatch.undo()
    monkeypatch.setattr(clustering, "check_method", lambda method: None)
    assert methods_at_hand() == (list(METHODS), [])


def test_of_slow_converters_few_are_trained_and_the_runs_own_is_taken(stages, tmp_path, monkeypatch):
    """As for colour images: a run of two epochs, whose converter is the one with k-means."""
    slow = Stages(replace(stages.run, epochs=2), stages.dataset, tmp_path, threads=2, quiet=True)
    slow.chosen = replace(slow.chosen, converter_epochs=2, head_epochs=1)
    monkeypatch.setattr(type(slow.chosen), "slow", True)
    seen = Seen(slow, stages.baseline_net)
    targets = seen.clusters().targets(slow.dataset.train.images, seen.split)
    converter = slow.converter(targets)
    model = slow.transferred(converter.encoder, "transfer")
    for path in tmp_path.glob("checkpoint-*"):
        path.unlink()
    modelfile.save(CBNet(converter, stages.baseline_net), tmp_path / "converter.npz")
    rows = {row["method"]: row for row in Conversions(seen, {"caenet-transfer": model}, QUICK).rows()}
    own = rows[caenet_rows.KMEANS]
    assert own["reconstruction_loss"] == reconstruction_loss(converter, targets)
    assert own["accuracy"] == accuracy(model, slow.dataset.validation) and own["epochs"] == 2
    cosine = rows["cosine"]
    assert cosine["reconstruction_loss"] is cosine["accuracy"] is None and cosine["clusters"] > 0
    random = rows[caenet_rows.RANDOM_TARGET]
    assert random["epochs"] == 2 and 0 < random["reconstruction_loss"] != own["reconstruction_loss"]
    for method in (caenet_rows.RANDOM_TARGET, caenet_rows.KMEANS):  # longer, without augmentation, beside the others
        plain = rows[method + caenet_rows.PLAIN]
        assert plain["epochs"] == 4 and plain["clusters"] == rows[method]["clusters"]
        assert 0 < plain["reconstruction_loss"] < rows[method]["reconstruction_loss"]
    assert slow.chosen.shift == stages.chosen.shift and not list(tmp_path.rglob("checkpoint*"))


def test_the_call_does_not_count_as_the_encoders(stages, monkeypatch):
    """10 us in all, 9 with the least that answers behind the encoder, 2 for that alone: 7 are the encoder's."""
    times, asked = {"model": 10.0, "encoder": 9.0, "least": 2.0}, []

    def latencies(models, images, rounds):
        asked.append({name: model.predict(images[:2]).shape for name, model in models.items()})
        return {name: SimpleNamespace(latency_ms=times[name]) for name in models}

    monkeypatch.setattr(judge, "latencies", latencies)
    data = stages.dataset
    model = caenet(stages.random_encoder(), 8, data.input_shape, data.class_names, np.random.default_rng(0))
    measured = SimpleNamespace(sample=data.test.images[:4], scope=SimpleNamespace(rounds=1))
    assert Measured._encoder_share(measured, model, parts(model)[0]) == pytest.approx(0.7)
    assert asked == [{"model": (2,), "encoder": (2,)}, {"least": (2,)}]


def test_a_random_encoders_normalisations_have_measured():
    encoder = ConvConverter(recipe.QUICK_COLOUR.form, (3, 32, 32)).initialise(np.random.default_rng(0)).encoder
    images = np.random.default_rng(1).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    measure_statistics(encoder, images)
    x = images.astype(np.float32) / 255
    for layer in encoder:
        x = layer.forward(x)[0]
        if layer.statistics:  # no learned scale yet: what it gives is normal in each channel
            np.testing.assert_allclose(x.mean(axis=(0, 2, 3)), 0, atol=1e-4)
            np.testing.assert_allclose(x.std(axis=(0, 2, 3)), 1, atol=1e-2)


def test_a_baseline_looks_at_the_training_images_once_and_only_when_asked(stages, looks):
    seen = Seen(stages, stages.baseline_net)
    assert looks == {"features": [], "easy": []}
    found, curve = seen.clusters(), seen.elbow()
    assert seen.clusters() is found and seen.clusters("cosine") is not found
    assert looks == {"features": [(500, 2)], "easy": [(500, 2)]}
    train = stages.dataset.train
    features = clustering.penultimate(stages.baseline_net, train.images)  # one thread, the same bits
    assert np.array_equal(features, seen.features)
    split = conversion.easy_by_entropy(runtime.compile(stages.baseline_net), train.images, train.labels)
    assert np.array_equal(split.entropy, seen.split.entropy) and np.array_equal(split.right, seen.split.right)
    alone = clustering.cluster(features, train.labels, split, 10, clustering.Options("k-means", 3, seed=0))
    assert np.array_equal(alone.groups, found.groups) and np.array_equal(alone.rows, found.rows)
    assert np.array_equal(clustering.elbow(features, train.labels, 10, 8).inertia, curve.inertia)


def test_what_is_kept_is_not_made_again(tmp_path):
    model = lenet((1, 8, 8), tuple("ab"), np.random.default_rng(0))
    models, calls = {}, []
    folder = checkpoint_of(tmp_path, "lenet-x").parent
    mine, others = {"lenet-x.npz", "lenet-x-0123abcd-latencies.json"}, {"lenet-x1.npz", "lenet.npz"}

    def make():
        for name in mine | others:
            (folder / name).touch()
        calls.append(1)
        return model, {"choices": "none"}

    for _ in range(2):
        assert kept(tmp_path, "lenet-x", models, make, True) == {"model": "lenet-x", "choices": "none"}
    assert len(calls) == 1 and json.loads((tmp_path / "lenet-x.json").read_text())["model"] == "lenet-x"
    assert np.array_equal(models["lenet-x"].params["net.0.weight"], model.params["net.0.weight"])
    assert modelfile.load(tmp_path / "lenet-x.npz").class_names == ("a", "b")
    assert {path.name for path in folder.iterdir()} == others


DAMAGED = ["", '{"lenet-x": {"epo', "[]", "\0", "[" * 100_000]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_note_of_what_is_kept_is_named(text, tmp_path):
    modelfile.save(lenet((1, 8, 8), tuple("ab"), np.random.default_rng(0)), tmp_path / "lenet-x.npz")
    (tmp_path / "lenet-x.json").write_text(text)
    with pytest.raises(TrainingError, match=r"lenet-x\.json is damaged .*; remove it to train anew$"):
        kept(tmp_path, "lenet-x", {}, None, True)
    assert (tmp_path / "lenet-x.json").read_text() == text


@pytest.mark.parametrize("text", [*DAMAGED, '{"k-means": 3}', '{"k-means": {}}'])
def test_damaged_rows_of_an_ablation_are_named(text, tmp_path):
    for name in ("conversions", "ablations"):
        (tmp_path / f"{name}.json").write_text(text)
    stages = SimpleNamespace(chosen=SimpleNamespace(slow=False), out=tmp_path, run=SimpleNamespace(quick=True))
    with pytest.raises(TrainingError, match=r"conversions\.json is damaged .*; remove it to train anew$"):
        Conversions(SimpleNamespace(stages=stages), {}, QUICK)
    trained = SimpleNamespace(stages=stages, dataset=None, folder=tmp_path)
    with pytest.raises(TrainingError, match=r"ablations\.json is damaged .*; remove it to train anew$"):
        ablations.run(SimpleNamespace(trained=trained), 1, quiet=True)


def test_what_was_trained_stays_until_it_is_kept(stages, tmp_path, monkeypatch):
    """...with the sidecars of a loop to an SLO, of which the latencies are no model."""
    monkeypatch.setattr(slo, "QUICK", TINY)
    monkeypatch.setattr(Stopwatch, "_clock", lambda self, models: by_macs(models))
    options, models = {"seed": 0, "threads": 1, "quick": True, "quiet": True}, {}

    def make():
        return rivals._to_slo(small_lenet(), small_digits(), tmp_path, options, None)

    with monkeypatch.context() as patch, pytest.raises(UsageError):
        patch.setattr(modelfile, "save", fails(UsageError("the disk is full")))
        kept(tmp_path, "caenet-slo", models, make, True)
    epochs = epochs_restored(monkeypatch)
    assert kept(tmp_path, "caenet-slo", models, make, True)["met"] and set(epochs) == {1, 4}
    assert not list((tmp_path / "compressors").iterdir())


def test_rivals_branchynet_does_not_leave_the_run_unfinished(stages, tmp_path, monkeypatch):
    checkpoint = checkpoint_of(tmp_path, "branchynet")
    whole = rivals._branchynet(stages, checkpoint_of(tmp_path / "whole", "branchynet"))
    with stopped_after_an_epoch(monkeypatch):
        rivals._branchynet(stages, checkpoint)
    assert not list(stages.out.glob("checkpoint-*")) and list(checkpoint.parent.iterdir())
    models = {}
    kept(tmp_path, "branchynet", models, lambda: (rivals._branchynet(stages, checkpoint), {}), True)
    made = models["branchynet"]
    assert not list(checkpoint.parent.iterdir())
    assert same(made.params, whole.params) and lightweight(made).macs() < made.macs()


def test_a_search_is_kept_with_what_it_tried(stages, monkeypatch):
    monkeypatch.setattr(search, "QUICK", BRIEF)
    monkeypatch.setattr(Stopwatch, "_clock", lambda self, models: by_macs(models))
    options = {"seed": 0, "threads": 1, "quick": True, "quiet": True}
    model, row = rivals._searched(stages.baseline_net, stages.dataset, 0.1, None, options)
    assert row["met"] and row["missed"] is None and model.macs() <= 100_000
    trained = SimpleNamespace(rivals=[{"model": "caenet-search", **row}], dataset=stages.dataset)
    rows = run._history(trained, "caenet-search", caenet_rows.search_rows)
    assert rows[-1]["architecture"] == row["choices"] and rows[-1]["chosen"] and rows[0]["slo_ms"] == 0.1
    assert run._history(trained, "caenet-slo", caenet_rows.slo_rows) == []


def test_the_table_and_the_frontier_count_the_same_multiply_adds(stages):
    """Of a net with two early exits, where all images leave at the first."""
    net = balexnet((1, 28, 28), stages.dataset.class_names, np.random.default_rng(0))
    net.thresholds = (np.inf, 0.0)
    models = {"lenet": stages.baseline_net, "branchynet": net}
    trained = SimpleNamespace(dataset=stages.dataset, models=models, base="lenet", seed=0, folder=stages.out)
    measured = Measured(trained, QUICK)
    table = {row["model"]: row for row in measured.table("auto")[0]}
    frontier = {row["model"]: row for row in measured.frontier()}
    assert measured.exits == (1.0, 0.0) and table["branchynet"]["exit_rate"] == 1
    for key, model in models.items():
        assert table[key]["macs"] == frontier[key]["macs"] == model.macs(*([(1.0, 0.0)] if model is net else []))


def test_large_nets_are_pruned_to_less():
    nets = rivals.large((3, 32, 32), tuple("0123456789"), 0)
    assert set(nets) == {*rivals.LARGE, "vgg16-pruned", "resnet50-pruned"}
    for key in rivals.PRUNED:
        assert nets[f"{key}-pruned"].macs() < 0.75 * nets[key].macs()


@pytest.mark.parametrize("words, says", [
    (["--latencies", "pi.json"], "--latencies"), (["--seeds", "0"], "--seeds"), (["--datasets", "no-such"], "no-such")])
def test_wrong_options_get_one_line_and_status_two(words, says, tmp_path, capsys):
    assert command.main(["caenet", "--quick", "--out", str(tmp_path / "out"), *words]) == 2
    printed = capsys.readouterr().err.strip()
    assert says in printed and len(printed.splitlines()) == 1
