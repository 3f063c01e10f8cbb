"""npcbnet.pictures: readable, non-constant PNG files, with matplotlib and without, for every shape a run can have."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import io

from npcbnet import drawing, pictures
from npcbnet.errors import ShapeError, UsageError

pytestmark = [pytest.mark.independent, pytest.mark.usefixtures("backend")]

RNG = np.random.default_rng(0)
HISTORY = [{"epoch": i + 1, "loss": 0.5 * 0.6**i, "accuracy": 1 - 0.1 * 0.5**i, "exit_rate": 0.2 + 0.05 * i,
            "validation_loss": 0.6 * 0.7**i, "seconds": 12.5} for i in range(12)]


def drawn(path):
    """The picture (H, W, 3); it must not be blank, and must be the only file in its folder."""
    pixels = io.imread(path)
    assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    assert pixels.min() < 100 and pixels.max() > 200
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return pixels


def strips(path, count, shape=(1, 28, 28), prototypes=True, titles=None, seed=0):
    """Draw conversion_strips of random images -> pixels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape), np.uint8)
    floats = rng.random((2, count, *shape), np.float32)
    titles = [f"{i}: read as {i}" for i in range(count)] if titles is None else titles
    assert pictures.conversion_strips(path, images, floats[0], floats[1] if prototypes else None, titles) == path
    return drawn(path)


@pytest.mark.parametrize("count, shape", [(1, (1, 28, 28)), (2, (3, 32, 32)), (12, (1, 28, 28)), (10, (3, 300, 200)),
                                          (3, (1, 5, 40)), (4, (2, 8, 8)), (2, (1, 1, 1))])
def test_conversion_strips(tmp_path, count, shape, backend):
    pixels = strips(tmp_path / "a.png", count, shape)
    assert 100 < pixels.shape[0] < 600 or shape[1] < 10
    assert pixels.shape[1] <= 1.05 * pictures.WIDTH and (pixels.shape[1] > 550 or count < 10)


def test_conversion_strips_without_targets_are_two_rows(tmp_path):
    three = strips(tmp_path / "a.png", 4)
    two = strips(tmp_path / "a.png", 4, prototypes=False)
    assert two.shape[0] < three.shape[0] and two.shape[1] == three.shape[1]


def test_only_the_first_twelve_are_shown(tmp_path):
    assert np.array_equal(strips(tmp_path / "a.png", 12).shape, strips(tmp_path / "a.png", 30).shape)


def test_other_images_make_another_picture_and_the_same_the_same_bytes(tmp_path):
    path = tmp_path / "a.png"
    first = strips(path, 3, seed=1)
    data = path.read_bytes()
    assert not np.array_equal(first, strips(path, 3, seed=2))
    strips(path, 3, seed=1)
    assert path.read_bytes() == data


def test_titles_of_any_kind(tmp_path, backend):
    titles = ["Ankle boot: read as Sneaker", "超 $x$ \\frac{", "", "W" * 500, "a\nb"]
    odd = strips(tmp_path / "a.png", 5, titles=titles)
    bare = strips(tmp_path / "a.png", 5, titles=[""] * 5)
    assert (odd.shape[0] > bare.shape[0]) == (backend == "matplotlib")


def test_titles_stay_in_their_columns(tmp_path, backend):
    if backend == "plain":
        return
    pictures.image_grid(tmp_path / "a.png", np.full((12, 1, 28, 28), 255, np.uint8), ["W" * 50, ""] * 6, columns=12)
    tile = drawing.tiles(np.zeros((1, 1, 28, 28), np.uint8), (pictures.WIDTH // 12) - drawing.GAP).shape[2]
    pixels = drawn(tmp_path / "a.png")
    inked = np.flatnonzero((pixels < 100).any(axis=(0, 2)))
    assert (np.diff(inked) > tile).sum() == 5  # six words, and an empty column between each two


@pytest.mark.parametrize("titles", [None, ["one", "two", "three", "four", "five"]])
def test_image_grid(tmp_path, titles):
    images = RNG.random((5, 3, 16, 12))
    images[0, 0, 0, 0], images[1, 0, 0, 0], images[2] = np.nan, np.inf, 7.0
    assert pictures.image_grid(tmp_path / "a.png", images, titles, columns=2) == tmp_path / "a.png"
    pixels = drawn(tmp_path / "a.png")
    assert pixels.shape[0] > pixels.shape[1]  # three rows of two


@pytest.mark.parametrize("histories", [
    {"lenet": HISTORY}, {f"stage {i}": HISTORY[:i] for i in range(1, 6)}, {"a": HISTORY[:1], "b": HISTORY[:2]},
    {"a": [{"epoch": 1, "loss": None}], "b": [{"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": -1.0}]},
    {"a": [{"epoch": 1, "loss": 0.5, "kept": True, "name": "x"}, {"epoch": 2, "loss": 0.5, "accuracy": 1.0}], "b": []},
])
def test_loss_curves(tmp_path, histories):
    assert pictures.loss_curves(tmp_path / "a.png", histories) == tmp_path / "a.png"
    pixels = drawn(tmp_path / "a.png")
    assert 150 < pixels.shape[0] < 1100 and 300 < pixels.shape[1] <= pictures.WIDTH


def test_loss_curves_follow_the_data(tmp_path):
    path = pictures.loss_curves(tmp_path / "a.png", {"a": HISTORY})
    first = drawn(path)
    other = [{**entry, "accuracy": 1 - entry["accuracy"]} for entry in HISTORY]
    assert not np.array_equal(first, drawn(pictures.loss_curves(path, {"a": other})))


@pytest.mark.parametrize("before, after, threshold", [
    (RNG.random(500) ** 8 * 2.3, RNG.random(500) ** 20, 0.05), (RNG.random(500), None, 0.5),
    ([0.0, np.nan, 0.3], [], 0.0),
    (np.zeros(5), np.zeros(5), 0.05), ([np.nan], None, 1.0), (RNG.random(9, np.float32), RNG.random(9), 10.0),
])
def test_exit_histogram(tmp_path, before, after, threshold):
    assert pictures.exit_histogram(tmp_path / "a.png", before, after, threshold) == tmp_path / "a.png"
    assert drawn(tmp_path / "a.png").shape == (420, pictures.WIDTH, 3)


def test_exit_histogram_follows_the_data(tmp_path):
    path, before = tmp_path / "a.png", RNG.random(100)
    found = [drawn(pictures.exit_histogram(path, before, *rest)) for rest in ((None, .1), (None, .2), (before / 9, .1))]
    assert not np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


def test_nothing_to_show_is_a_small_picture_that_says_so(tmp_path):
    none = np.zeros((0, 1, 28, 28), np.uint8)
    pictures.image_grid(tmp_path / "a.png", none, [])
    assert drawn(tmp_path / "a.png").shape == (60, 300, 3)
    pictures.conversion_strips(tmp_path / "a.png", none, none, None, [])
    pictures.loss_curves(tmp_path / "a.png", {"lenet": []})
    pictures.exit_histogram(tmp_path / "a.png", [], None, 0.1)
    assert drawn(tmp_path / "a.png").shape == (60, 300, 3)


def test_what_does_not_fit_together_is_named(tmp_path):
    images = np.zeros((3, 1, 8, 8), np.uint8)
    with pytest.raises(ShapeError, match="titles"):
        pictures.conversion_strips(tmp_path / "a.png", images, images / 255, None, ["one"])
    with pytest.raises(ShapeError, match="3 images but 1"):
        pictures.image_grid(tmp_path / "a.png", images, ["one"])
    with pytest.raises(ShapeError, match=r"\(3, 8, 8\)"):
        pictures.image_grid(tmp_path / "a.png", images[:, 0])
    assert not list(tmp_path.iterdir())


def test_unwritable_path_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="a.png"):
        pictures.loss_curves(tmp_path / "file" / "a.png", {"a": HISTORY})


def test_the_users_matplotlib_is_left_alone(tmp_path, backend):
    if backend == "plain":
        return
    import matplotlib
    with matplotlib.rc_context({"axes.facecolor": "black", "text.color": "white", "figure.dpi": 37}):
        before = dict(matplotlib.rcParams)
        dark = drawn(pictures.loss_curves(tmp_path / "a.png", {"a": HISTORY}))
        assert dict(matplotlib.rcParams) == before
    assert np.array_equal(dark, drawn(pictures.loss_curves(tmp_path / "a.png", {"a": HISTORY})))


def test_pyplot_is_never_loaded_and_matplotlib_only_to_draw(tmp_path, backend):
    if backend == "plain":
        return
    code = ("import sys, npcbnet.pictures as p\n"
            "assert 'matplotlib' not in sys.modules and 'skimage' not in sys.modules\n"
            f"p.loss_curves({str(tmp_path / 'a.png')!r}, {{'a': [{{'epoch': 1, 'loss': 1.0}}]}})\n"
            "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot'")
    root = Path(pictures.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr


def test_tiles_repeat_and_average_whole_pixels():
    image = np.array([[[[0, 255], [255, 0]]]], np.uint8)
    large = drawing.tiles(image, 8)
    assert large.shape == (1, 10, 10, 3) and (large[0, 1:5, 1:5] == 0).all() and (large[0, 1:5, 5:9] == 255).all()
    assert (drawing.tiles(image, 1)[0, 1, 1] == 128).all()
    colour = np.zeros((1, 3, 4, 4), np.float32)
    colour[:, 2] = 1
    assert (drawing.tiles(colour, 4)[0, 1:-1, 1:-1] == (0, 0, 255)).all()


def test_png_keeps_every_pixel(tmp_path):
    pixels = RNG.integers(0, 256, (7, 13, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(drawing.png(pixels))
    assert np.array_equal(io.imread(tmp_path / "a.png"), pixels)
