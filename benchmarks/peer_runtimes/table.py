"""The comparison's rows: as JSON has them, as a line of progress, as Markdown."""
from benchmarks import results
from benchmarks.peer_runtimes.runtimes import RUNTIMES
from benchmarks.peer_runtimes.turns import ALL_PEERS, PEERS, figure, ratio


def as_row(model, batch, threads, kind, us):
    """A row of the result; us: {runtime: statistics}."""
    best, by = ratio(us, PEERS)
    best_of_all, by_of_all = ratio(us, ALL_PEERS)
    return {"model": model, "batch": batch, "threads": threads, "input": kind, "us": us,
            "ratio": best, "best": by, "ratio_all": best_of_all, "best_all": by_of_all}


def in_words(row):
    """A row as a line of progress."""
    times = ", ".join(f"{runtime} {short(figure(us))}" for runtime, us in row["us"].items())
    best = f"; {row['ratio']:.2f} times as fast as {row['best']}" if row["ratio"] else ""
    return (f"{row['model']}, {row['input']}, batch {row['batch']}, {row['threads']} thread(s): "
            f"{times} µs an image{best}")


def short(value):
    """Three significant digits without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def markdown(result):
    """The rows as a Markdown table: microseconds per image (p95), and how many times as fast npcbnet is."""
    runtimes = [name for name in RUNTIMES if any(name in row["us"] for row in result["rows"])]
    heads = ["model", "input", "batch", "threads", *runtimes, "best of ONNX Runtime, LiteRT, PyTorch ÷ npcbnet",
             "and of OpenVINO"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in result["rows"]:
        times = [f"{short(figure(row['us'][name]))} ({short(row['us'][name]['p95'])})" if name in row["us"] else ""
                 for name in runtimes]
        ratios = [f"{row[key]:.2f} ({row[by]})" if row[key] else ""
                  for key, by in (("ratio", "best"), ("ratio_all", "best_all"))]
        lines.append("| " + " | ".join([row["model"], row["input"], f"{row['batch']:,}", str(row["threads"]), *times,
                                        *ratios]) + " |")
    lines += ["", "Microseconds per image, a median (at batch 1 on images the mean of those of the single images); in "
              "brackets the 95th percentile of the calls."]
    if "training" in result:
        training, median = result["training"], result["training"]["median"]
        lines += ["", f"Training, {training['what']}: npcbnet {median['npcbnet']:.2f} s, PyTorch "
                  f"{median['torch']:.2f} s, {training['ratio']:.2f} times as fast."]
    versions = ", ".join(f"{name} {version}" for name, version in result["peers"].items())
    lines += [""] + ([f"With {versions}."] if versions else [])
    lines += [f"Not there: {', '.join(result['missing'])}."] if result["missing"] else []
    lines += [f"Failed: {'; '.join(result['failed'])}."] if result["failed"] else []
    return "\n".join([*lines, results.made_by(result), ""])
