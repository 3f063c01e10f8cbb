"""benchmarks.large_nets: rows that a table can be made of, and losses that fall."""
import json

import numpy as np
import pytest

from benchmarks import large_nets
from npcbnet.errors import UsageError
from npcbnet.nets import resnet32


@pytest.fixture
def data(tmp_path):
    """300 images of ten classes, one colour and place each."""
    rng, labels = np.random.default_rng(0), np.arange(300) % 10
    images = rng.integers(0, 40, (300, 3, 32, 32), dtype=np.uint8)
    for image, label in zip(images, labels):
        image[label % 3, 3 * label:3 * label + 4] += 180
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels)
    return tmp_path / "data.npz"


def test_it_measures_trains_and_writes(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(large_nets, "BATCH", 16)
    large_nets.main(["--nets", "resnet32", "--images", "1", "--rounds", "1", "--train", "--steps", "12", "--data",
                     str(data), "--json", str(tmp_path / "large.json")])
    result = json.loads((tmp_path / "large.json").read_text())
    (row,) = result["rows"]
    assert row["model"] == "resnet32" and row["parameters"] == 464_154 and row["times_alexnet"] is None
    model = resnet32((3, 32, 32), large_nets.CLASSES, np.random.default_rng(0))
    assert (row["macs"], row["bytes"]) == (model.macs(), model.parameter_bytes())
    assert row["gmacs_per_s"] == pytest.approx(row["macs"] / row["latency_ms"] / 1e6)
    (trained,) = result["training"]
    assert len(trained["losses"]) == 12 and np.mean(trained["losses"][-3:]) < 0.8 * np.mean(trained["losses"][:3])
    assert result["machine"]["cpu"] and result["seed"] == 0 and "large_nets" in result["command"]
    page = (tmp_path / "large.md").read_text()
    assert page.strip() == capsys.readouterr().out.strip() and "| resnet32 | 464,154 | 68,862,592 | 1.9 |" in page


def test_every_net_is_measured_against_alexnet(monkeypatch):
    class Latency:
        def __init__(self, ms):
            self.latency_ms = self.latency_median_ms = self.latency_p95_ms = self.latency_first_ms = ms

    monkeypatch.setattr(large_nets.judge, "latencies", lambda models, images, rounds: {
        name: Latency(2.0 + len(name)) for name in models})
    rows = large_nets.measure(list(large_nets.NETS), 1, 1, 0)
    assert {row["model"]: row["parameters"] for row in rows} == {
        "alexnet": 9_216_458, "vgg16": 15_253_578, "resnet18": 11_173_962, "resnet32": 464_154,
        "resnet50": 23_520_842, "mobilenetv2": 2_236_682}
    assert rows[0]["times_alexnet"] == 1 and rows[-1]["times_alexnet"] == pytest.approx(13 / 9)


@pytest.mark.parametrize("words", [["--images", "0"], ["--rounds", "-1"], ["--steps", "0"], ["--threads", "0"]])
def test_impossible_numbers(words):
    with pytest.raises(UsageError, match=words[0]):
        large_nets.options_from(words)


def test_images_that_do_not_fit(tmp_path):
    np.savez(tmp_path / "grey.npz", x_train=np.zeros((40, 28, 28), np.uint8), y_train=np.arange(40) % 4)
    with pytest.raises(UsageError, match="3x32x32"):
        large_nets.training_images(tmp_path / "grey.npz")
