"""python -m npcbnet.compress MODEL: make a trained model smaller and faster, and see what that costs in accuracy."""
import argparse
import json
import sys

from npcbnet.cli import run_command
from npcbnet.errors import UsageError

EXAMPLE = """examples:
  python -m npcbnet.compress digits-lenet --int8            weights and sums in 8-bit integers
  python -m npcbnet.compress mnist-cbnet-table1 --prune 0.8 --out pruned.npz    four in five weights left out
  python -m npcbnet.compress runs/mnist/cbnet.npz --float16 --data mnist --json
  python -m npcbnet.compress mnist-lenet --subflow 0.1 0.25 1    three subgraphs of the most important neurons
  python -m npcbnet.compress mnist-lenet --connections 0.625    the smallest weights go while it is trained further
  python -m npcbnet.compress mnist-lenet --channels 0.4    four in ten channels of each layer go
  python -m npcbnet.compress mnist-lenet --shared 32    the weights of a layer share 32 values; the file is a sixth
  python -m npcbnet.compress mnist-lenet --distil lenet    a student of 12,609 parameters learns the model's answers
  python -m npcbnet.compress mnist-lenet --slo-ms 0.01 --quick    pruned until an image takes 0.01 ms here
  python -m npcbnet.compress mnist-lenet --adadeep --max-bytes 100000 --max-macs 600000 --max-drop 1

Dense layers on one image wait for their weights, so fewer or shorter ones are faster. Convolutions hardly do: as
integers they take a quarter of the file, but can be slower than floats; with --dense-only they stay as they are.
--adadeep chooses a compression for each layer of a classifier (low rank, sparse, separable, fire, pruned, shared) so
that the network meets the budgets; without any: half a point of accuracy, 2/3 of the bytes, 4/5 of the time. Where it
cannot, it says by how much it fails, saves nothing and ends with status 1; so does --slo-ms. Zeros make dense layers
faster where they are many, convolutions never: those take fewer channels. What is trained lies beside the file to
write until that is saved: stopped, the same command goes on from there, and so it does with --save-anyway after a miss.
The milliseconds above suit a PC: on a Pi ask python -m npcbnet.bench first how long the model takes there.
Scales are measured on validation images, fitting after pruning sees training images; the test set only judges."""

BUDGETS = [("--max-drop", "POINTS", "so many points of accuracy less on validation images"),
           ("--max-ms", "MS", "so many milliseconds an image"), ("--max-bytes", "B", "so many bytes of parameters"),
           ("--max-mj", "MJ", "so many millijoules an image, by a model of the processor's power"),
           ("--max-macs", "M", "so many multiply-adds an image")]


def parser():
    """The command's options."""
    p = argparse.ArgumentParser(prog="python -m npcbnet.compress", description=__doc__, epilog=EXAMPLE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", help="a pretrained name such as mnist-lenet, or the path of a model file")
    kinds = p.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--float16", action="store_true", help="round all parameters to 16 bits")
    kinds.add_argument("--int8", action="store_true", help="8-bit integers in dense layers and convolutions")
    kinds.add_argument("--prune", type=float, metavar="SHARE",
                       help="leave out this share (0..1) of the weights of large dense layers")
    kinds.add_argument("--subflow", type=float, nargs="+", metavar="UTILISATION",
                       help="keep this share (0..1) of each layer's neurons and train them; several nest in one file")
    kinds.add_argument("--adadeep", action="store_true", help="choose a compression for each layer, under budgets")
    kinds.add_argument("--connections", type=float, metavar="KEPT",
                       help="train it further while the smallest weights go, until this share (0..1) is left")
    kinds.add_argument("--channels", type=float, metavar="SHARE",
                       help="leave out this share (0..1) of the channels, in two steps, and train it further")
    kinds.add_argument("--shared", type=int, metavar="CENTROIDS",
                       help="let each layer's weights share so many values (2..256), which then learn on")
    kinds.add_argument("--distil", metavar="STUDENT", help="let a small network learn its answers: lenet or alexnet")
    kinds.add_argument("--slo-ms", type=float, metavar="MS", dest="slo",
                       help="prune until an image takes at most so many milliseconds on this machine")
    p.add_argument("--scope", choices=("layer", "global"),
                   help="with --connections, --channels: a share of each layer, or of all together (default: layer)")
    p.add_argument("--but-first", dest="first", action="store_const", const=False,
                   help="with --shared: leave the first layer's weights, which are few, as they are")
    p.add_argument("--temperature", type=float, metavar="T", help="with --distil: softens the answers (default: 3)")
    p.add_argument("--hard", type=float, metavar="ALPHA", help="with --distil: the labels' part of the loss, 0..1 "
                   "(default: 0.3; Keras's example has 0.1 and T = 10)")
    for option, metavar, what in BUDGETS:
        p.add_argument(option, type=float, metavar=metavar, help=f"with --adadeep: at most {what}")
    p.add_argument("--quick", action="store_true", help="with what is trained: take 2,000 images")
    p.add_argument("--save-anyway", action="store_true",
                   help="with --adadeep, --slo-ms: save what misses a budget or the SLO, too")
    p.add_argument("--dense-only", action="store_true", help="with --int8: leave convolutions in floats")
    p.add_argument("--data", help="data set that calibrates and judges: a name or a path (default: the model's own)")
    p.add_argument("--out", metavar="FILE", help="file to write (default: MODEL-KIND.npz in this folder)")
    p.add_argument("--seed", type=int, default=0,
                   help="draws the images that calibrate, fit or train, and all else in training (default: 0)")
    p.add_argument("--threads", type=int, help="threads that train and judge; no result depends on them (default: with "
                   "what is trained one a core, at most 4, else 1)")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def check(options, kind, budgets, settings):
    """Raise UsageError where an option does not go with the kind: it would change nothing."""
    from npcbnet.compress import variant
    if kind != "adadeep" and any(limit is not None for limit in budgets.values()):
        raise UsageError("budgets (--max-...) go with --adadeep alone")
    if set(settings) - variant.SETTINGS.get(kind, set()):
        raise UsageError("--scope goes with --connections and --channels, --but-first goes with --shared, "
                         "--temperature and --hard with --distil")
    if options.quick and kind not in variant.TRAINED:
        raise UsageError("--quick goes with what is trained, not with --float16, --int8 and --prune")
    if options.dense_only and kind != "int8":
        raise UsageError("--dense-only goes with --int8 alone")
    if options.save_anyway and kind not in ("adadeep", "slo"):
        raise UsageError("--save-anyway goes with --adadeep and --slo-ms, which may save nothing")


def main(arguments=None):
    """The command. Returns its exit status."""
    options = parser().parse_args(arguments)

    def go():
        from npcbnet.compress import variant
        kind = next(kind for kind in variant.KINDS
                    if getattr(options, kind) is not None and getattr(options, kind) is not False)
        share = None if getattr(options, kind) is True else getattr(options, kind)
        budgets = {"max_drop": options.max_drop, "latency_ms": options.max_ms, "storage_bytes": options.max_bytes,
                   "energy_mj": options.max_mj, "macs": options.max_macs}
        settings = {name: getattr(options, name) for name in ("scope", "first", "temperature", "hard")
                    if getattr(options, name) is not None}
        check(options, kind, budgets, settings)
        result = variant.compress(options.model, kind, share, not options.dense_only, options.data, options.out,
                                  options.seed, options.threads, budgets, options.quick, options.save_anyway,
                                  settings)
        print(json.dumps(result, indent=2) if options.json else variant.text(result))
        return 0 if result.get("met", True) else 1

    trained = not (options.float16 or options.int8 or options.prune is not None)
    return run_command(go, lambda: "the same command goes on from what is trained" if trained else "nothing was saved")


if __name__ == "__main__":
    sys.exit(main())
