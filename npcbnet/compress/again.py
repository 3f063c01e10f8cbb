"""The command's variants that are trained again: pruned connections or channels, shared weights, students, an SLO's."""
from npcbnet import modelfile
from npcbnet.compress import distil, magnitude, share, slo, structure


def make(model, dataset, kind, amount, seed, threads, quick, checkpoint, scope="layer", first=True, temperature=None,
         hard=None):
    """(the variant, how it was made as a dict; its "said" are lines to read, its "files" an SLO's Sidecars).

    kind: "connections", the share of weights that stays is `amount`; "channels", the share of channels that goes;
    "shared", the number of centroids; "distil", amount names the student; "slo", milliseconds. checkpoint: where what
    has been trained lies, and a run that was stopped goes on from; of an SLO beside it. scope: of magnitude.train or
    structure.train; first: of share.train; temperature, hard: of distil.distil, None: its own. Raises UsageError.
    """
    common = {"seed": seed, "threads": threads, "quick": quick, "quiet": False, "checkpoint": checkpoint}
    if kind == "slo":
        met = slo.meet(model, dataset, amount, **common)
        return met.model, {"kind": kind, "seed": seed, "slo_ms": met.slo_ms, "met": met.met, "missed": missed(met),
                           "rows": met.rows, "notes": met.notes, "said": [*met.notes, *map(line, met.rows)],
                           "files": met.files}
    if kind == "distil":
        given = {name: value for name, value in (("temperature", temperature), ("hard", hard)) if value is not None}
        made = distil.distil(model, amount, dataset, **given, **common)
        alone = f"{made.alone:.2%} by labels alone, {made.taught:.2%} with the teacher, which has {made.teacher:.2%}"
        return made.model, {"kind": kind, "student": amount, **made.model.record["distilled"],
                            "parameters": made.model.parameter_count(),
                            "student_accuracy": {"taught": made.taught, "alone": made.alone, "teacher": made.teacher},
                            "said": [f"the student of {made.model.parameter_count():,} parameters on validation "
                                     f"images: {alone}"]}
    if kind == "shared":
        made = share.train(model, dataset, amount, first=first, **common)
        sizes = [modelfile.weight_bytes(one) for one in (model, made)]
        return made, {"kind": kind, **made.record["shared"], "weight_bytes": dict(zip(("before", "after"), sizes)),
                      "said": [
            f"weights in the file: {sizes[1]:,} of {sizes[0]:,} bytes",
            "the trained values are kept" if made.record["shared"]["trained_is_kept"] else
            "training them was no gain on validation images: they are the means of their weights"]}
    train = {"connections": magnitude.train, "channels": structure.train}[kind]
    made = train(model, dataset, amount, scope=scope, **common)
    left = slo.nonzero(made)
    return made, {"kind": kind, "share": amount, **made.record["pruned"], "parameters": left,
                  "said": [f"{left:,} of {model.parameter_count():,} parameters are left and not zero"]}


def missed(met):
    """[a line that says by how much the SLO is missed], [] where it is met."""
    return [] if met.met else [f"the SLO of {met.slo_ms:.4g} ms: the fastest network found takes "
                               f"{met.slo_ms + met.over_ms:.4g} ms, {met.over_ms / met.slo_ms:.1%} too many"]


def line(row):
    """A row of slo.Met as a line."""
    return (f"{row['step']:<14}{row['way'] or '':<8}{row['latency_ms']:>9.4g} ms {row['accuracy']:>8.2%} "
            f"{row['parameters']:>12,} parameters{'  meets the SLO' if row['met'] else ''}"
            f"{'  chosen' if row['chosen'] else ''}")
