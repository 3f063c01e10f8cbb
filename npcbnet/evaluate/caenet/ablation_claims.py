"""Claims of the CAE-Net paper about its parts: clusters, knowledge transfer, zeros, pruning. Judged by rows alone."""
from npcbnet.clustering import elbow_point
from npcbnet.evaluate.caenet import paper
from npcbnet.evaluate.caenet import rows as kinds
from npcbnet.evaluate.caenet.rows import baselines, of_this_machine, tables
from npcbnet.evaluate.reading import grouped, number
from npcbnet.evaluate.verdicts import Titles, all_or_some, claim, noise, span, verdict

LOST = 1  # points of accuracy that pruning to an SLO may cost
NO_ZEROS = 0.005  # as a share is none
SHORTEST = 5  # clusters that a curve with an elbow goes to, at least
SAME = 1.05  # times an SLO is still the SLO: the same network, measured again, differs by a few percent


def judged(report):
    """As claims.judged, of all sections but the tables; None where there are no figures."""
    titles = Titles(report)
    return [_encoder(report, titles), _loss(report, titles), _kmeans(report, titles), _elbow(report, titles),
            _transfer(report, titles), _scratch(report, titles), _dead(report, titles), _pruning(report, titles)]


def _by(report, section, key):
    """{data set: {row[key]: row}} of a section."""
    return {name: {row.get(key): row for row in rows} for name, rows in grouped(
        [row for row in report.get(section) or () if isinstance(row, dict)], "dataset").items()}


def _value(rows, kind, key):
    """A number of one of {kind: row}, or None."""
    return number(rows.get(kind, {}), key)


def _encoder(report, titles):
    bases, found = baselines(tables(report)), {}
    for name, parts in grouped(report.get("fig5") or (), "dataset").items():
        rows = {row.get("part"): row for row in parts if row.get("model") == "caenet"}
        share = _value(rows, "encoder", "latency_share")
        if share is not None:
            found[name] = share
    if not found:
        return None
    time = {base: [share for name, share in found.items() if bases.get(name) == base] for base in ("alexnet", "lenet")}
    more = not all(time.values()) or min(time["alexnet"]) > max(time["lenet"])
    most = [share > 0.5 for share in found.values()]
    return claim("Most of CAE-Net's time and energy is its encoder's, above all on CIFAR-10", "Fig. 5, no figures",
                 titles.each({name: f"{share:.0%} of the time" for name, share in found.items()})
                 + "; energy is power times time", all_or_some(most + [more]),
                 "the head takes the larger part" if not all(most) else "it is no larger part on CIFAR-10")


def _loss(report, titles):
    found, plain = {}, {}
    for name, rows in _by(report, "clustering", "method").items():
        for key in ("reconstruction_loss_validation", "reconstruction_loss"):
            pair = tuple(_value(rows, kind, key) for kind in (kinds.RANDOM_TARGET, kinds.KMEANS))
            if all(pair):
                found[name] = (*pair, _value(rows, kinds.ONE_TARGET, key))
                break
        pair = tuple(_value(rows, kind + kinds.PLAIN, "reconstruction_loss")
                     for kind in (kinds.RANDOM_TARGET, kinds.KMEANS))
        if all(pair):
            plain[name] = pair
    if not found:
        return None
    printed = 1 - paper.LOSS_WITH / paper.LOSS_WITHOUT
    judged_by = [name for name in found if str(name).split("-")[0] == "cifar10"] or list(found)
    saved = {name: 1 - after / before for name, (before, after, _) in found.items()}
    lower = any(one is not None and one < after for _, after, one in (found[name] for name in judged_by))
    held = verdict([saved[name] for name in judged_by], printed, 0)
    return claim("Clusters lower the converter's loss by 46 %",
                 f"from {paper.LOSS_WITHOUT} to {paper.LOSS_WITH}, {printed:.1%} (CIFAR-10)",
                 titles.each({name: f"{saved[name]:.0%}, from {before:.3g} with random easy targets to {after:.3g}"
                              + ("" if one is None else f"; {one:.3g} with one target a class")
                              + ("" if name not in plain else "; without augmentation, and longer, "
                                 f"{1 - plain[name][1] / plain[name][0]:.0%}, from {plain[name][0]:.3g} to "
                                 f"{plain[name][1]:.3g}") for name, (before, after, one) in found.items()}),
                 "in part" if held == "yes" and lower else held,
                 "one target a class, without any clusters, lowers it more: a loss is low where targets are alike"
                 if lower else "more targets are nearer to the images, but harder to tell apart")


def _kmeans(report, titles):
    found = {}
    for name, rows in _by(report, "clustering", "method").items():
        mine = _value(rows, kinds.KMEANS, "accuracy")
        others = [_value(rows, kind, "accuracy") for kind in rows if not str(kind).startswith(
            (kinds.KMEANS, kinds.RANDOM_TARGET, kinds.ONE_TARGET))]
        points = [100 * (mine - other) for other in others if None not in (mine, other)]
        if points:
            found[name] = points
    if not found:
        return None
    least, most = (100 * points for points in paper.KMEANS_ADDS)
    every = [point for points in found.values() for point in points]
    return claim("k-means serves better than other ways to cluster", f"{least:g} to {most:g} points of accuracy",
                 titles.each({name: f"{span(points, '{:+.2f}')} points" for name, points in found.items()}),
                 verdict(every, least, 0), "the ways to cluster differ by less in what a classifier makes of them"
                 if min(every) > 0 else "other ways to cluster serve as well")


def _elbow(report, titles):
    """Judged by curves that end at each number of clusters from SHORTEST on: the elbow depends on their end."""
    found, texts = {}, {}
    for name, rows in grouped(report.get("elbow") or (), "dataset").items():
        curve = [number(row, "inertia") for row in rows if row.get("class_name") is None]
        if len(curve) >= SHORTEST and None not in curve:
            found[name] = [elbow_point(curve[:end]) for end in range(SHORTEST, len(curve) + 1)]
            texts[name] = f"{span(found[name], '{}')}, by curves to {SHORTEST}, ..., {len(curve)} clusters"
    if not found:
        return None
    judged_by = [name for name in found if str(name).split("-")[0] == "cifar10"] or list(found)
    return claim("The elbow is at three clusters a class", f"{paper.ELBOW} (CIFAR-10)", titles.each(texts),
                 all_or_some([count == paper.ELBOW for name in judged_by for count in found[name]]),
                 "distances fall evenly with the number of clusters, so the elbow moves with the curve's end")


def _transfer(report, titles):
    found = {name: tuple(_value(rows, kind, "accuracy") for kind in (kinds.RANDOM, kinds.TRANSFERRED))
             for name, rows in _by(report, "transfer", "variant").items()}
    found = {name: pair for name, pair in found.items() if None not in pair}
    if not found:
        return None
    gains = [after > before for before, after in found.values()]
    reached = [found[name][1] >= after for name in found
               for family, (_, after) in paper.TRANSFER.items() if str(name).split("-")[0] == family]
    return claim("The converter's knowledge makes the classifier accurate", "; ".join(
        f"{before:.1%} to {after:.1%} ({'MNIST' if family == 'mnist' else 'CIFAR-10'})"
        for family, (before, after) in paper.TRANSFER.items()),
        titles.each({name: f"{before:.2%} with a random frozen encoder, {after:.2%} with the converter's"
                     for name, (before, after) in found.items()}),
        "yes" if all(gains + reached) else "in part" if any(gains) else "no",
        "it is better than a random encoder, but short of the paper's accuracy while it is frozen"
        if all(gains) else "a random encoder serves as well")


def _scratch(report, titles):
    texts, better = {}, []
    for name, rows in _by(report, "transfer", "variant").items():
        alone = _value(rows, kinds.SCRATCH, "accuracy")
        points = {kind: 100 * (_value(rows, kind, "accuracy") - alone) for kind in (kinds.TRANSFERRED, kinds.TUNED)
                  if None not in (alone, _value(rows, kind, "accuracy"))}
        if not points:
            continue
        best = max(points, key=points.get)
        better.append(points[best] > 100 * max(noise(report, rows[kind]) for kind in (best, kinds.SCRATCH)))
        texts[name] = ", ".join(f"{kind} {value:+.2f} points" for kind, value in points.items())
    if not texts:
        return None
    return claim("Beyond the paper: a transferred encoder beats the same network trained from scratch",
                 "not shown: no row from scratch", titles.each(texts), all_or_some(better),
                 "on labels and answers alone, without the converter's epochs, the network learns as much")


def _dead(report, titles):
    bases, texts, held = baselines(tables(report)), {}, []
    for name, rows in _by(report, "dead", "model").items():
        base = bases.get(name) or next((key for key in ("alexnet", "lenet") if key in rows), None)
        before, after = _value(rows, base, "share"), _value(rows, "caenet", "share")
        if None not in (before, after):
            texts[name] = f"{before:.0%} in the baseline, {after:.0%} in CAE-Net"
            held.append(after <= NO_ZEROS)
    if not texts:
        return None
    return claim("CAE-Net's last convolution has no zero activations", "90% in AlexNet, none in CAE-Net",
                 titles.each(texts), all_or_some(held),
                 "behind a ReLU every output below 0 is a zero, in CAE-Net as in its baseline")


def _pruning(report, titles):
    """Judged by the tables: all seeds, test images, times measured anew. The loop's own rows say what was asked for."""
    texts, held = {}, []
    rows = {(row.get("dataset"), row.get("model")): row for row in of_this_machine(tables(report))}
    for name, steps in grouped(report.get("slo") or (), "dataset").items():
        before, after = (rows.get((name, model), {}) for model in ("caenet", "caenet-slo"))
        numbers = [number(row, key) for key in ("latency_ms", "accuracy") for row in (before, after)]
        limits = [number(step, "slo_ms") / number(step, "latency_ms") for step in steps[:1]
                  if number(step, "slo_ms") and number(step, "latency_ms")]
        if None in numbers or not limits:
            continue
        times, points = numbers[1] / numbers[0], 100 * (numbers[3] - numbers[2])
        held.append(times <= SAME * limits[0] and points >= -LOST)
        texts[name] = f"{times:.2f} times the time before, the SLO is {limits[0]:.2f}; {points:+.2f} points"
    if not texts:
        return None
    return claim("Pruning and training again meet an SLO", "by hand, no figures", titles.each(texts), all_or_some(held),
                 "not everywhere, or at the cost of more than a point of accuracy")
