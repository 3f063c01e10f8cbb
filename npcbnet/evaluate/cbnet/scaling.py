"""Total time on more and more images (Figs. 6 to 8), and on mixes of easy and hard ones (Fig. 3)."""
import time

import numpy as np

from npcbnet import judge
from npcbnet.evaluate.cbnet import paper
from npcbnet.recipes import family

SCALED = ("lenet", "branchynet", "lightweight", "cbnet-table1", "cbnet-fast")
RATIOS = tuple(round(0.1 * step, 1) for step in range(1, 11))
MIXES = tuple(round(0.1 * step, 1) for step in range(11))


def parts(early, ratio, rng):
    """Rows of a random part, `ratio` of all images, in which the share of hard images is that of all (within one).

    early (N,) bool: True for easy images. At least one image.
    """
    chosen = [rng.permutation(members)[:round(ratio * len(members))]
              for members in (np.flatnonzero(early), np.flatnonzero(~early))]
    rows = rng.permutation(np.concatenate(chosen))
    return rows if len(rows) else rng.integers(0, len(early), 1)


def scalability(measured):
    """Rows of Figs. 6 to 8: for each ratio and model the seconds to predict all images one by one, and accuracy.

    Each of the repeats draws its images anew; within one all models take turns.
    """
    rows, where = [], {"dataset": measured.trained.dataset.name, "seed": measured.trained.seed}
    for repeat in range(measured.scope.repeats):
        for ratio in RATIOS:
            index = parts(measured.early, ratio, measured.rng)
            images = measured.test.images[index]
            for model in SCALED:
                predict = measured.predictors[model].predict
                begin = time.perf_counter()
                for image in images:
                    predict(image)
                total = time.perf_counter() - begin
                rows.append({**where, "ratio": ratio, "model": model, "images": len(index),
                             "hard_share": float(1 - measured.early[index].mean()), "total_s": total,
                             "accuracy": float(measured.right[model][index].mean()), "repeat": repeat})
    return rows


def mixes(measured):
    """Rows of Fig. 3: latency of BranchyNet and LeNet on mixes with 0 to 100 % of hard images, real exits.

    Where the test set has too few easy or hard images some come again; without any of a kind there are no rows.
    """
    easy, hard = np.flatnonzero(measured.early), np.flatnonzero(~measured.early)
    if not len(easy) or not len(hard):
        return []
    rows, rng = [], measured.rng
    pair = {key: measured.models[key] for key in ("lenet", "branchynet")}
    for share in MIXES:
        count = round(share * measured.scope.mix)
        index = rng.permutation(np.concatenate([_drawn(hard, count, rng),
                                                _drawn(easy, measured.scope.mix - count, rng)]))
        times = judge.latencies(pair, measured.test.images[index], measured.scope.rounds)
        rows.append({"dataset": measured.trained.dataset.name, "seed": measured.trained.seed, "hard_share": share,
                     "latency_ms": times["branchynet"].latency_ms, "lenet_ms": times["lenet"].latency_ms,
                     "exit_rate": float(measured.early[index].mean()),
                     "accuracy": float(measured.right["branchynet"][index].mean()), "source": "measured"})
    return rows


def speedups(rows):
    """Set speedup, LeNet's time divided by BranchyNet's."""
    for row in rows:
        row["speedup"] = row["lenet_ms"] / row["latency_ms"]
    return rows


def _drawn(members, count, rng):
    """`count` of the members, as few of them twice as possible."""
    times = -(-count // len(members))
    return np.concatenate([rng.permutation(members) for _ in range(times)])[:count] if count else members[:0]


def paper_mix(dataset):
    """The paper's point of Fig. 3 for a Dataset, as a list of none or one row."""
    point = paper.FIG_3.get(family(dataset))
    return [{"dataset": dataset.name, "hard_share": point[0], "latency_ms": None, "lenet_ms": None,
             "speedup": point[1], "exit_rate": 1 - point[0], "accuracy": None, "source": "paper"}] if point else []
