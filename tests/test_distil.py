"""Students that learn a teacher's logits: their sizes, what is trained, the options and the command."""
import json

import numpy as np
import pytest

import npcbnet
from npcbnet import runtime
from npcbnet.compress import distil
from npcbnet.compress.__main__ import main
from npcbnet.errors import ShapeError, UsageError
from npcbnet.layers import Conv2d, Dense, Flatten, ReLU, Sequential, initialise
from npcbnet.losses import cross_entropy, distillation
from npcbnet.nets import Classifier
from tests.runtime_models import names
from tests.small_models import small_digits, small_lenet, write_small_files


def pupil(seed=0):
    net = Sequential([Conv2d(1, 4, 3, 2, 1), ReLU(), Flatten(), Dense(196, 16), ReLU(), Dense(16, 10)])
    return Classifier(initialise(net, np.random.default_rng(seed), "he_normal"), (1, 14, 14), names(10))


def test_the_students_have_the_papers_sizes():
    """CAE-Net, Tables I and II: 12.6 k and 0.55 M parameters."""
    rng = np.random.default_rng(0)
    small = distil.student("lenet", (1, 28, 28), names(10), rng)
    assert small.parameter_count() == 104 + 808 + 392 * 29 + 29 + 29 * 10 + 10 == 12_609
    convolutions = 16 * 28 + 48 * 145 + 64 * 433 + 2 * 64 * 577
    large = distil.student("alexnet", (3, 32, 32), names(10), rng)
    assert large.parameter_count() == convolutions + 364 * 1025 + 182 * 365 + 10 * 183 == 550_336
    with pytest.raises(UsageError, match="choose from lenet, alexnet"):
        distil.student("resnet", (3, 32, 32), names(10), rng)
    with pytest.raises(ShapeError):
        distil.student("alexnet", (3, 0, 32), names(10), rng)


def test_a_student_learns_from_its_teacher_and_stays_itself(tmp_path):
    one, dataset = pupil(), small_digits()
    before = {name: array.copy() for name, array in one.params.items()}
    found = distil.distil(small_lenet(), one, dataset, epochs=40)
    assert all(np.array_equal(one.params[name], array) for name, array in before.items())
    right = [float((model.predict(dataset.validation.images) == dataset.validation.labels).mean())
             for model in (found.model, small_lenet())]
    assert [found.taught, found.teacher] == pytest.approx(right) and found.taught > 0.5 and found.alone > 0.4
    assert found.model.record["distilled"] == {"temperature": 3.0, "hard": 0.3, "epochs": 40, "seed": 0}
    npcbnet.save(found.model, tmp_path / "m.npz")
    again, images = npcbnet.load(tmp_path / "m.npz"), dataset.test.images[:30]
    compiled = runtime.compile(again).predict_proba(images)
    np.testing.assert_allclose(compiled, found.model.predict_proba(images), atol=1e-5)


def test_labels_alone_and_the_teacher_alone():
    """hard 1 is the control, whatever the temperature; hard 0 draws the student to its teacher's logits."""
    one, dataset, teacher = pupil(1), small_digits(), small_lenet()
    alone = distil.distil(teacher, one, dataset, hard=1, temperature=7.0, epochs=20, control=False)
    control = distil.distil(teacher, one, dataset, hard=0, epochs=20)
    assert alone.alone is None and alone.taught == control.alone
    x = dataset.train.images.astype(np.float32) / np.float32(255)
    z, wanted = (model.net.forward(x)[0] for model in (control.model, teacher))
    labels_z = alone.model.net.forward(x)[0]
    assert distillation(z, wanted, 3.0)[0] < distillation(labels_z, wanted, 3.0)[0]
    assert cross_entropy(labels_z, dataset.train.labels)[0] < 2.0


def test_the_same_on_any_number_of_threads():
    made = [distil.distil(small_lenet(), "lenet", small_digits(), epochs=1, control=False, threads=threads,
                          **distil.KERAS).model.params for threads in (1, 2)]
    assert all(np.array_equal(array, made[1][name]) for name, array in made[0].items())


@pytest.mark.parametrize("changes, words", [
    ({"temperature": 0}, "temperature"), ({"temperature": -1}, "temperature"), ({"temperature": float("nan")}, "temp"),
    ({"temperature": float("inf")}, "temperature"), ({"hard": 1.5}, "hard loss"), ({"hard": -0.1}, "hard loss"),
    ({"hard": True}, "hard loss"), ({"seed": -1}, "seed"), ({"threads": 0}, "threads"), ({"pupil": "huge"}, "unknown")])
def test_what_cannot_be(changes, words):
    given = {"pupil": "lenet", **changes}
    with pytest.raises(UsageError, match=words):
        distil.distil(small_lenet(), given.pop("pupil"), small_digits(), **given)


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(distil, "QUICK_EPOCHS", 3)
    write_small_files(tmp_path)
    options = ["small.npz", "--distil", "lenet", "--data", "set.npz", "--quick", "--temperature", "10", "--hard", "0.1"]
    assert main([*options, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    found = npcbnet.load("small-distil.npz")
    assert (result["temperature"], result["hard"], result["parameters"]) == (10, 0.1, found.parameter_count())
    assert found.record["compressed"]["student"] == "lenet" and set(result["student_accuracy"]) == {
        "taught", "alone", "teacher"}
    assert main([*options[:2], "vgg", *options[3:]]) == 2
    assert "unknown student 'vgg'" in capsys.readouterr().err
