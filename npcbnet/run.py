"""The options of a run and the folder it lives in: begun, unfinished, finished."""
import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from npcbnet import modelfile, recipes
from npcbnet.clustering import METHODS, check_method, convolutional
from npcbnet.errors import UsageError
from npcbnet.files import write_text
from npcbnet.nets import Classifier

RUN_FILE, REPORT = "run.json", "report.json"
QUICK_EPOCHS = 3
NETS = ("cbnet", "caenet")
MOST_CLUSTERS = 100


@dataclass(frozen=True)
class Run:
    """The options that decide a run's result; stored as run.json, so that --resume needs no others.

    net: "cbnet" or "caenet". threshold: "auto" (validation decides), "paper", or nats as a number. epochs None: the
    recipes' own. Of CAE-Net: clustering, clusters (clustering.Options; clusters None: the recipe's); features: a model
    file or pretrained name, whose convolutions tell which images are alike (None: the baseline tells).
    """

    dataset: str
    recipes: tuple = ("fast",)
    epochs: int | None = None
    seed: int = 0
    threshold: str = "auto"
    shape: tuple | None = None
    quick: bool = False
    net: str = "cbnet"
    clustering: str = "k-means"
    clusters: int | None = None
    features: str | None = None

    @classmethod
    def of(cls, options):
        """The Run that command-line options ask for. Raises UsageError for values that cannot work, or not here."""
        wanted = options.recipe or ["fast"]
        names = tuple(recipes.RECIPES) if "all" in wanted else tuple(dict.fromkeys(wanted))
        if options.net != "cbnet" and (options.recipe or options.threshold != "auto"):
            raise UsageError(f"--recipe and --threshold are CBNet's; leave them out with --net {options.net}")
        own = options.clustering != "k-means", options.clusters is not None, options.features is not None
        if options.net != "caenet" and any(own):
            raise UsageError("--clustering, --clusters and --features are CAE-Net's; add --net caenet")
        epochs = QUICK_EPOCHS if options.quick and options.epochs is None else options.epochs
        run = cls(options.dataset, names, epochs, options.seed, options.threshold,
                  tuple(options.shape) if options.shape else None, options.quick, options.net, options.clustering,
                  options.clusters, options.features)
        run.check()
        if run.clustering != "k-means" and run.clusters is not None:
            raise UsageError(f"--clusters goes with k-means; leave it out with --clustering {run.clustering}")
        check_method(run.clustering)  # not in check: a run.json is no worse for it
        return run

    def check(self):
        """Raise UsageError unless every option has a value that can work."""
        whole = (int, type(None))
        if not isinstance(self.dataset, str) or not isinstance(self.quick, bool):
            raise UsageError("dataset must be a text and quick true or false")
        if not isinstance(self.features, (str, type(None))):
            raise UsageError(f"--features is the name or path of a model, not {self.features!r:.40}")
        if not isinstance(self.epochs, whole) or self.epochs is not None and self.epochs < 1:
            raise UsageError(f"--epochs must be at least 1, not {self.epochs}")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2 ** 63:
            raise UsageError(f"--seed must be at least 0 and below 2^63, not {self.seed}")
        if self.threshold not in ("auto", "paper") and not 0 <= number(self.threshold) < 1e9:
            raise UsageError("--threshold is 'auto', 'paper' or an entropy in nats of at least 0, "
                             f"not {self.threshold!r}")
        if self.net not in NETS:
            raise UsageError(f"--net is one of {', '.join(NETS)}, not {self.net!r:.40}")
        if self.clustering not in METHODS:
            raise UsageError(f"--clustering is one of {', '.join(METHODS)}, not {self.clustering!r:.40}")
        clusters = 1 if self.clusters is None else self.clusters
        if not isinstance(clusters, int) or not 1 <= clusters <= MOST_CLUSTERS:
            raise UsageError(f"--clusters must be 1 to {MOST_CLUSTERS}, not {self.clusters}")
        if not self.recipes or not set(self.recipes) <= set(recipes.RECIPES):
            raise UsageError(f"--recipe takes {', '.join(recipes.RECIPES)} or all, not {self.recipes!r:.60}")

    def command(self):
        """The command line that repeats the run."""
        words = [self.dataset]
        words += ["--net", self.net] if self.net != "cbnet" else []
        words += ["--clustering", self.clustering] if self.clustering != "k-means" else []
        words += ["--clusters", str(self.clusters)] if self.clusters is not None else []
        words += ["--features", self.features] if self.features is not None else []
        words += ["--recipe", *self.recipes] if self.recipes != ("fast",) else []
        words += ["--epochs", str(self.epochs)] if self.epochs != (QUICK_EPOCHS if self.quick else None) else []
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--threshold", self.threshold] if self.threshold != "auto" else []
        words += ["--shape", *map(str, self.shape)] if self.shape else []
        return "python -m npcbnet.train " + shlex.join(words + (["--quick"] if self.quick else []))


def viewer(run, dataset):
    """The Classifier that run.features names, None where it names none.

    Raises UsageError where it cannot look at the Dataset's images, and what modelfile.load raises.
    """
    if run.features is None:
        return None
    model = modelfile.load(run.features)
    if not isinstance(model, Classifier) or model.input_shape != dataset.input_shape:
        raise UsageError(f"--features {run.features}: this takes a Classifier of images {dataset.input_shape}, not a "
                         f"{type(model).__name__} of {model.input_shape}; with --size npcbnet.import_weights makes one")
    convolutional(model, dataset.train.images[:1])
    return model


def number(text):
    """The text as a float, NaN if it is none."""
    try:
        return float(text)
    except (ValueError, TypeError):
        return float("nan")


def latest_unfinished(folder, dataset=None):
    """The folder below `folder` whose unfinished run (of `dataset`, if named) is the newest. Raises UsageError."""
    unfinished = [path for path in Path(folder).glob(f"*/{RUN_FILE}")
                  if not is_finished(path.parent) and dataset in (None, _dataset_of(path.parent))]
    if not unfinished:
        raise UsageError(f"there is no unfinished run{f' of {dataset}' if dataset else ''} in {folder}/; "
                         "give the run's folder with --out, or start one without --resume")
    return max(unfinished, key=lambda path: path.stat().st_mtime).parent


def _dataset_of(out):
    """The data set of the run in `out`; None, which matches no name, if its options cannot be read."""
    try:
        return read_run(out).dataset
    except UsageError:
        return None


def is_finished(out):
    """Did the run in `out` come to its end? Its report is then there, and its checkpoints are gone.

    Times of files do not count: a run may have been copied.
    """
    return (Path(out) / REPORT).exists() and not list(Path(out).glob("checkpoint-*.npz"))


def read_run(out):
    """The Run of folder `out`. Raises UsageError where there is none to resume."""
    path = Path(out) / RUN_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        shape = values.pop("shape")
        run = Run(**{**values, "recipes": tuple(values["recipes"]), "shape": tuple(shape) if shape else None})
        run.check()
        return run
    except FileNotFoundError:
        raise UsageError(f"there is no run to resume in {out}: {path} is missing; start one without --resume") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, UsageError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read ({error}); start the run anew in another --out") from None


def free_folder(folder, run):
    """folder/DATASET for a run (DATASET-caenet for CAE-Net), or DATASET-2, -3, ... where another finished run already
    has its results there."""
    name = Path(run.dataset).resolve().stem + ("" if run.net == "cbnet" else f"-{run.net}")
    for attempt in range(1, 1000):
        out = Path(folder) / (name if attempt == 1 else f"{name}-{attempt}")
        if not (out / RUN_FILE).exists() or not is_finished(out) or read_run(out) == run:
            return out
    raise UsageError(f"{folder}/{name} to {name}-999 all hold finished runs; choose a folder with --out")


def begin(run, out):
    """Make `out` ready for a new run. Raises UsageError if it holds an unfinished one."""
    out = Path(out)
    if list(out.glob("checkpoint-*.npz")):
        raise UsageError(f"{out} holds an unfinished run: continue it with --resume, or choose another --out")
    if (out / REPORT).is_file():  # of an earlier run
        (out / REPORT).unlink()
    write_text(out / RUN_FILE, json.dumps(asdict(run), indent=2) + "\n")
