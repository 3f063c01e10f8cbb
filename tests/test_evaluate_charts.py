"""The evaluation's charts: PNG files that are not blank, with matplotlib and without, whatever rows lack."""

import numpy as np
import pytest
from skimage import io

from npcbnet import pictures
from npcbnet.errors import ShapeError, UsageError
from npcbnet.evaluate.caenet import charts as caenet_charts, clusters, figures as caenet_figures
from npcbnet.evaluate.cbnet import charts, diagram, figures
from npcbnet.evaluate.pictures import labels, marks, panel
from npcbnet.evaluate.pictures.draw import draw
from npcbnet.evaluate.pictures.frontier import frontier
from npcbnet.evaluate.reading import brief_titles_of, titled
from npcbnet.evaluate.verdicts import Titles
from tests import made_up_caenet, made_up_report

pytestmark = [pytest.mark.independent, pytest.mark.usefixtures("backend")]

REPORT = made_up_report.report()
CHARTS = {"fig3": charts.speedup_over_hard_share, "fig5": charts.latency_and_accuracy, "bars": charts.beside_the_paper,
          "fig6": charts.scalability, "converter_share": charts.converter_share, "frontier": frontier,
          "ablations": charts.ablations, "fig2": diagram.cbnet_blocks,
          "caenet fig1": caenet_charts.time_by_slo, "caenet fig5": caenet_charts.encoder_and_head,
          "caenet elbow": clusters.elbow, "caenet clustering": caenet_charts.clustering,
          "caenet transfer": caenet_charts.transfer, "caenet dead": caenet_charts.dead,
          "caenet slo": caenet_charts.slo, "caenet search": caenet_charts.search, "caenet frontier": frontier}
CAENET = titled(made_up_caenet.report(("cifar10", "mnist")))


def rows_of(name):
    """The rows of the made-up reports that a chart takes."""
    if name.startswith("caenet "):
        return CAENET[name.removeprefix("caenet ")]
    return REPORT["fig5" if name == "bars" else name]


def drawn(path):
    """The picture (H, W, 3); it must not be blank, and no partial file may lie beside it."""
    pixels = io.imread(path)
    assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    assert pixels.min() < 100 and pixels.max() > 200 and pixels.shape[1] <= pictures.WIDTH
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return pixels


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_of_three_data_sets(tmp_path, name):
    path = tmp_path / "a.png"
    assert CHARTS[name](rows_of(name), path) == path
    pixels = drawn(path)
    assert pixels.shape[1] == pictures.WIDTH and np.ptp(pixels.mean(axis=(1, 2))) > 5


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_follows_its_rows(tmp_path, name):
    path, rows = tmp_path / "a.png", [row for row in rows_of(name) if row["dataset"] == "MNIST"]
    CHARTS[name](rows, path)
    first = path.read_bytes()
    drawn(path)
    changed = {"fig3": "speedup", "fig2": "macs", "fig6": "total_s", "converter_share": "total_ms",
               "caenet fig1": "latency_ms", "caenet fig5": "latency_ms", "caenet elbow": "inertia",
               "caenet dead": "share"}
    changed = changed.get(name, "accuracy")
    others = [{**row, changed: row[changed] * (0.5 if i == 1 else 1)} for i, row in enumerate(rows)]
    CHARTS[name](others, path)
    assert path.read_bytes() != first


@pytest.mark.parametrize("name", CHARTS)
def test_missing_numbers_leave_their_marks_out(tmp_path, name):
    """First half of the rows lack their numbers, each in another way, then all do."""
    def without(row, missing):
        kept = {key: value for key, value in row.items() if isinstance(value, str | bool | None)}
        if missing == "absent":
            return {"dataset": row["dataset"], "model": row.get("model")}
        return {**dict.fromkeys(row, missing), **kept}

    holes = (None, float("nan"), float("inf"), "no number", "absent", 0)
    rows = [row for row in rows_of(name) if row["dataset"] == "MNIST"]
    CHARTS[name]([without(row, holes[i // 2 % 6]) if i % 2 else row for i, row in enumerate(rows)], tmp_path / "a.png")
    drawn(tmp_path / "a.png")
    CHARTS[name]([without(row, holes[i % 6]) for i, row in enumerate(rows)], tmp_path / "a.png")
    drawn(tmp_path / "a.png")


@pytest.mark.parametrize("name", CHARTS)
def test_nothing_to_show_says_so(tmp_path, name):
    CHARTS[name]([], tmp_path / "a.png")
    assert drawn(tmp_path / "a.png").shape == (60, 300, 3)


@pytest.mark.parametrize("name", CHARTS)
def test_names_of_any_kind(tmp_path, name):
    odd = ["$x$ \\frac{", "超" * 40, "", "_a", "W" * 300, "a\nb"]
    texts = ("variant", "layer", "model", "method", "architecture", "step", "way", "round", "class_name")
    rows = [{**row, "dataset": "$\\d$ <b>", **dict.fromkeys(texts, odd[i % 6])} for i, row in
            enumerate(rows_of(name)[:12])]
    CHARTS[name](rows, tmp_path / "a.png")
    drawn(tmp_path / "a.png")


def test_a_lone_model_and_a_lone_ratio(tmp_path):
    report = made_up_report.report(("MNIST",), (0,), ("lenet",))
    for name in ("fig5", "bars", "frontier", "fig6"):
        rows = report["fig5" if name == "bars" else name]
        CHARTS[name](rows[:1], tmp_path / "a.png")
        drawn(tmp_path / "a.png")


def test_easy_and_hard_images(tmp_path, backend):
    rows = REPORT["fig1"]
    images = made_up_report.images(len(rows))
    path = diagram.easy_and_hard(rows, images, tmp_path / "a.png")
    pixels = drawn(path)
    assert pixels.shape[0] > 6 * 72  # a row of easy and a row of hard images for each of three data sets
    colour = [made_up_report.images(1, (3, 32, 32))[0] if row["dataset"] != "MNIST" else image
              for row, image in zip(rows, images)]
    diagram.easy_and_hard(rows, colour, path)
    drawn(path)
    with pytest.raises(ShapeError, match="30 rows but 2 images"):
        diagram.easy_and_hard(rows, images[:2], path)


def test_all_pictures_of_a_report_and_only_those_it_has_rows_for(tmp_path):
    report = made_up_report.report(("MNIST", "own <data>"), models=("lenet", "branchynet", "cbnet-fast"))
    made = draw(figures.figures(report, made_up_report.images(20)), tmp_path)
    assert list(made) == ["fig1", "fig2", "fig3", "fig5", "fig6", "fig7", "converter_share", "frontier", "ablations"]
    assert len(made["fig5"]) == 2 and len(made["ablations"]) == 2 and "own <data>" in made["ablations"][1][1]
    paths = [path for pairs in made.values() for path, _ in pairs]
    assert sorted(path.name for path in paths) == sorted(file.name for file in tmp_path.iterdir())
    assert draw(figures.figures({"facts": {}, "fig3": [], "fig9": None}), tmp_path) == {}


def test_all_pictures_of_the_other_paper(tmp_path):
    report = made_up_caenet.report(("mnist", "fmnist"))
    made = draw(caenet_figures.figures(report), tmp_path)
    assert list(made) == ["fig1", "fig5", "elbow", "clustering", "transfer", "dead", "slo", "search", "frontier"]
    assert sorted(f"{key}.png" for key in made) == sorted(file.name for file in tmp_path.iterdir())
    assert all(len(pairs) == 1 and pairs[0][1] for pairs in made.values())
    empty = {"facts": {"paper": "caenet"}, "fig1": [], "table1": report["table1"], "fig6": report["fig1"]}
    assert draw(caenet_figures.figures(empty), tmp_path) == {}


def test_a_bar_that_meets_the_slo_goes_to_the_left(tmp_path, backend):
    """Filled columns of the picture left and right of the line for a fast and a slow model."""
    rows = [{"dataset": "a", "model": "x", "latency_ms": time, "slo_ms": 1.0} for time in (0.2, 5.0)]
    pixels = drawn(caenet_charts.time_by_slo(rows, tmp_path / "a.png"))
    grey = (abs(pixels.astype(int) - 0x9a) < 3).all(axis=2)
    ys, xs = np.nonzero(grey & (grey.sum(axis=1) > 60)[:, None])  # not the legend
    upper = ys < (ys.min() + ys.max()) / 2
    assert upper.any() and (~upper).any() and np.median(xs[upper]) < np.median(xs[~upper]) - 50
    assert np.percentile(xs[upper], 99) <= np.percentile(xs[~upper], 1) + 5


def test_branchynet_is_a_line_over_its_thresholds_and_a_point_without(tmp_path, monkeypatch):
    monkeypatch.setattr("npcbnet.evaluate.pictures.frontier.write", lambda path, panels, heights: panels)
    cifar, mnist = (row[0] for row in frontier(CAENET["frontier"], tmp_path / "a.png"))
    for shown, models in ((cifar, "alexnet"), (mnist, "lenet")):
        one = {"lenet": "line", "alexnet": "points"}[models]
        found = [series for series in shown.series if series.name.startswith("BranchyNet")]
        assert [(series.kind, series.legend) for series in found] == [(one, one == "line")]
        assert len(found[0].x) == (5 if one == "line" else 1) and None not in (*found[0].x, *found[0].y)
        points = sum(series.kind == "points" for series in shown.series)
        assert points == sum(row[1] is not None for row in made_up_caenet.MODELS[models].values()) - (one == "line")


def test_charts_and_claims_leave_out_what_stands_in_parentheses(tmp_path):
    titles = ("CIFAR-10 (rearranged, 1,135 images from JPEG copies)", "A (half)", "A", "(own) data", None)
    report = {"facts": {"datasets": [{"name": i, "title": title} for i, title in enumerate(titles)]}}
    assert list(brief_titles_of(report).values()) == ["CIFAR-10", "A (half)", "A", "(own) data", None]
    assert Titles(report).each({0: "faster", 1: "not"}) == "CIFAR-10: faster; A (half): not"
    for make, rows in ((figures.figures, REPORT["fig5"]), (caenet_figures.figures, CAENET["fig5"])):
        shown = {key: made for key, _, made, *_ in make({**report, "fig5": [{**row, "dataset": 0} for row in rows]})}
        assert {row["dataset"] for row in shown["fig5"]} == {"CIFAR-10"}


def test_an_unwritable_path_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="a.png"):
        frontier(REPORT["frontier"], tmp_path / "file" / "a.png")


def test_each_model_keeps_its_look_and_none_share_one():
    rows = [{"model": name} for name in [*made_up_report.MODELS, "own-1", "own-2", "subflow-0.9"]]
    found = marks.looks(rows)
    assert len({(look.marker, look.dash, look.hollow) for look in found}) == len(rows)
    assert marks.looks(rows[::-1])[-1] == found[0] == marks.LOOKS["lenet"]
    for models in made_up_caenet.MODELS.values():
        found = marks.looks([{"model": name} for name in models])
        assert len({(look.marker, look.dash, look.hollow) for look in found}) == len(models)


def test_what_lies_far_below_is_set_on_a_floor():
    rows = [{"model": "a", "accuracy": value} for value in (0.99, 0.985, 0.98, 0.5)]
    floor = marks.floor_of(rows)
    assert 0.9 < floor < 0.98 and marks.raised(rows, floor) == (0.99, 0.985, 0.98, floor)
    assert marks.label(rows[3], floor) == "a ↓ 50.0 %" and marks.label(rows[0], floor) == "a"
    assert marks.floor_of(rows[:3]) is None and marks.floor_of(rows[:3] * 2) is None


@pytest.mark.parametrize("values, options", [
    ([0.9, 0.99], {"percent": True}), ([1.0, 1.0], {}), ([-3, 5], {"zero": True}), ([0, 7], {"zero": True}),
    ([3e-4, 20], {"log": True}), ([5, 5], {"log": True}), ([0, -1], {"log": True}), ([], {}), ([1e9, 2e9], {}),
    ([0.98, 0.9801], {"percent": True}), ([0.75, 0.98], {"percent": True, "room": 0.4}), ([1.0], {"percent": True,
                                                                                                 "room": 0.4}),
    ([np.nan, None, 4], {})])
def test_axes_show_all_values_with_plain_ticks(values, options):
    axis = panel.axis(values, **options)
    known = [value for value in values if value is not None and np.isfinite(value) and (value > 0 or not axis.log)]
    assert axis.low < axis.high and 2 <= len(axis.ticks) == len(set(axis.texts)) <= 13
    assert all(axis.low <= value <= axis.high for value in [*known, *axis.ticks])
    assert not options.get("percent") or max(axis.ticks) <= 1 + 1e-9
    room = options.get("room", 0)
    assert axis.high - max(known, default=axis.high) >= 0.99 * room * np.ptp(known) if room else True
    shares = axis.share(known)
    assert ((shares >= 0) & (shares <= 1)).all()


def test_texts_lie_on_no_other():
    rng = np.random.default_rng(3)
    points, bounds = rng.uniform(60, 700, (25, 2)) * [1.2, 0.6], np.array([0, 0, 1000, 500])
    sizes = np.stack([rng.uniform(40, 130, 25), np.full(25, 14)], axis=1)
    centres = labels.beside(points, sizes, bounds)
    low, high = centres - sizes / 2, centres + sizes / 2
    assert (low >= bounds[:2]).all() and (high <= bounds[2:]).all()
    over = ((low[:, None] < high[None]) & (low[None] < high[:, None])).all(axis=2)
    assert over.sum() == 25  # each with itself
    on_points = ((low[:, None] < points[None]) & (points[None] < high[:, None])).all(axis=2)
    assert not on_points.any()


@pytest.mark.parametrize("places, expected", [
    ([5.0], [5]), ([1, 9], [1, 9]), ([5, 5], [4, 6]), ([0, 0, 0], [0, 2, 4]), ([9, 10, 10], [6, 8, 10]), ([], []),
    ([5, 4.9, 8], [5.95, 3.95, 8])])
def test_names_at_the_ends_of_lines_keep_their_order_and_their_distance(places, expected):
    assert np.allclose(labels.spread(places, 2, 0, 10), expected)


def test_more_names_than_there_is_room_for_share_it():
    moved = labels.spread(np.zeros(21), 2, 0, 10)
    assert np.allclose(np.diff(moved), 0.5) and moved[0] == 0 and moved[-1] == 10
