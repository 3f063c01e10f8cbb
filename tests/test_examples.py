"""The examples run as their docstrings say, and show what they promise."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRETRAINED = ROOT / "npcbnet" / "pretrained" / "digits-cbnet.npz"
PICTURES = ["1-digits", "2-branchynet", "3-easy-and-hard", "4-prototypes", "5-converter", "6-conversion", "7-exits"]


def run(*words):
    """Run `python -m words` from the checkout's root and return the finished process."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", *map(str, words)], cwd=ROOT, env=environment, capture_output=True,
                          text=True, timeout=600)


def png_size(path):
    """(width, height) in px from the header of a PNG."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


@pytest.mark.skipif(not PRETRAINED.exists(), reason="the pretrained model digits-cbnet is not there yet")
def test_embed_reads_most_digits():
    done = run("examples.embed")
    assert done.returncode == 0, done.stderr
    read = re.findall(r"^read (\d) with (\d+)% confidence; it was drawn as (\d)$", done.stdout, re.M)
    assert len(read) == 8
    assert sum(label == truth for label, _, truth in read) >= 6


@pytest.fixture(scope="module")
def read_along(tmp_path_factory):
    """(standard output, folder of the pictures) of one run."""
    out = tmp_path_factory.mktemp("read") / "along"
    done = run("examples.read_along", "--out", out)
    assert done.returncode == 0, done.stderr
    return done.stdout, out


@pytest.mark.slow
def test_read_along_names_each_step_and_its_section(read_along):
    text, _ = read_along
    steps = re.findall(r"^\[ *[\d.]+ s\] (\d)\. .*\(CBNet, [IVX]+-\w+.*\)$", text, re.M)
    assert steps == list("12345678")
    for shape in ("images (6000, 1, 28, 28) uint8", "> Dense (32,)", "prototypes (10, 1, 28, 28) float32",
                  "converted (2000, 1, 28, 28) float32"):
        assert shape in text
    assert "read as [0 1 2 3 4 5 6 7 8 9]" in text


@pytest.mark.slow
def test_read_along_draws_a_picture_of_each_step(read_along):
    _, out = read_along
    assert sorted(path.name for path in out.iterdir()) == [f"{name}.png" for name in PICTURES]
    for name in PICTURES:
        width, height = png_size(out / f"{name}.png")
        assert 300 <= width <= 1200 and 80 <= height <= 1200, name


@pytest.mark.slow
def test_read_along_trains_and_converts(read_along):
    text, _ = read_along
    rows = re.findall(r"^(BranchyNet|lightweight DNN|CBNet).*? +([\d.]+)% +([\d.]+)% +([\d,]+)$", text, re.M)
    accuracy = {name: float(all_images) for name, all_images, _, _ in rows}
    macs = {name: int(number.replace(",", "")) for name, _, _, number in rows}
    assert set(accuracy) == {"BranchyNet", "lightweight DNN", "CBNet"}
    assert min(accuracy.values()) > 85  # 93, 91, 91 when this was written; chance is 10
    assert macs["lightweight DNN"] == 220_150 and macs["CBNet"] == 220_150 + 93_312  # facts 1.1; 196-256-128-32-196
    below = [float(share) for share in re.findall(r"([\d.]+)% of the (?:images as they came|converted images)", text)]
    assert below[1] > below[0] + 5  # conversion turns hard images into easy ones


def test_read_along_says_in_one_line_where_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("examples.read_along", "--out", tmp_path / "file" / "below")
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write") and "Traceback" not in done.stderr
