"""The figures of `measure` as a page for the terminal."""
from npcbnet import machine

KINDS = {"classifier": "Classifier", "branchynet": "BranchyNet", "cbnet": "CBNet", "multiexit": "MultiExit"}


def text(result):
    """The page."""
    shape = "x".join(map(str, result["input_shape"]))
    lines = [f"{result['model']}: {KINDS[result['kind']]}, {shape} images, {result['parameters']:,} parameters",
             f"{machine.in_words(result['machine'])}; {_count(result['threads'], 'thread')}, {result['images']}", ""]
    lines += [*_start(result), "", *_times(result), ""]
    if not result["engine"]:
        return "\n".join([*lines, "There is no engine here, so the layers answered one by one: no overhead and no "
                                  "roofline to tell."])
    took = result["overhead"]
    lines += [f"Python     {took['python_us']:.1f} µs around the native call: predict on one image takes "
              f"{took['predict_us']:.1f} µs, the call in it {took['native_us']:.1f} µs", ""]
    return "\n".join([*lines, *_roofline(result["roofline"])])


def _count(number, word):
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _start(result):
    start = result["start"]
    lines = ["start      " + ", ".join(f"{word} {1e3 * start[key]:.2f} ms" for word, key in (
        ("load", "load_s"), ("compile", "compile_s"), ("first call", "first_s"), ("warm-up", "warmup_s")))]
    grown = start["resident_growth_bytes"]
    memory = [f"the process grew by {_bytes(grown)}"] if grown is not None else []
    if result["engine"]:
        memory += [f"the engine holds {_bytes(held['weights'])} of packed weights and {_bytes(held['maps'])} of maps "
                   f"for {what}" for what, held in result["engine_bytes"].items()]
    return [*lines, *(f"{'memory' if i == 0 else '':11}{line}" for i, line in enumerate(memory))]


def _times(result):
    heading = f"{'µs an image':24}{'p50':>10}{'p95':>10}{'p99':>10}{'calls':>9}"
    lines = [heading + (f"{'layer by layer (p50)':>24}" if result["engine"] else "")]
    for row in result["rows"]:
        what = f"batch {row['batch']:,}" if row["exit"] is None else f"   exit {row['exit']} ({row['share']:.1%})"
        line = f"{what:24}" + "".join(f"{row[f'p{p}_us']:10.2f}" for p in (50, 95, 99)) + f"{row['calls']:9,}"
        if result["engine"]:
            line += f"{row['layers_p50_us']:13.1f} ({row['layers_p50_us'] / row['p50_us']:.1f} times)"
        lines.append(line)
    return lines


def _roofline(rows):
    lines = []
    for row in rows:
        lines += [f"roofline   batch {row['batch']:,}: {row['limit']} is nearer to its peak. An image asks for",
                  f"           {row['multiply_adds']:,.0f} multiply-adds: {row['arithmetic_share']:.0%} of the "
                  f"{row['peak_gflop_s']:.0f} GFLOP/s that this machine can do, and for",
                  f"           {_bytes(row['moved_bytes'])} of memory: {row['memory_share']:.0%} of the "
                  f"{row['peak_load_gb_s']:.0f} GB/s that it reads from arrays of {_bytes(row['held_bytes'])}"]
    return [*lines, "           (as the layers say, in float32; Winograd, zeros left out, small weights pass 100 %)"]


def _bytes(number):
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{number / 1e3:.1f} kB"
