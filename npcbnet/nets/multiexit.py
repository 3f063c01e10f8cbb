"""Nets with any number of early exits (Teerapittayanon et al., 2016, section 3).

    images -> stage1 --+-> stage2 --+-> stage3 -> the last exit, which takes everything
                       |            |
                    branch1      branch2
                       |            |
                     exit 1       exit 2           here an image leaves if the entropy of its answer is low enough
"""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.exits import leaves, probabilities_and_entropy
from npcbnet.layers import Sequential, from_config
from npcbnet.nets.classifier import Classifier
from npcbnet.nets.model import Model, check_logits, chunk_size, chunks

MOST_EXITS = 16


class MultiExit(Model):
    """stages: K Sequentials, each on what the one before made; branches: K - 1, from a stage's output to logits (N, O).

    An image leaves at exit k if the entropy of branch k's answer is below thresholds[k - 1] (nats); the last stage
    makes logits itself. `parts` are named in turn: stage1, branch1, stage2, ...
    """

    kind = "multiexit"

    def __init__(self, stages, branches, thresholds, input_shape, class_names):
        super().__init__(input_shape, class_names)
        if not 2 <= len(stages) == len(branches) + 1 <= MOST_EXITS:
            raise ShapeError(f"a net has 2 to {MOST_EXITS} exits, one stage for each and a branch for each but the "
                             f"last, not {len(stages)} stages and {len(branches)} branches")
        self.parts = self.parts or part_names(len(stages))
        for name, part in zip(self.parts, [part for pair in zip(stages, branches) for part in pair] + [stages[-1]]):
            setattr(self, name, part)
        self.thresholds = thresholds
        shapes = self.input_shapes()
        for name in (*self.parts[1::2], self.parts[-1]):
            check_logits(getattr(self, name), shapes[name], self.classes, f"the {name}")
        self._peak = max(getattr(self, name).peak(shapes[name]) for name in self.parts)

    @property
    def stages(self):
        """The K stages."""
        return tuple(getattr(self, name) for name in self.parts[::2])

    @property
    def branches(self):
        """The K - 1 branches."""
        return tuple(getattr(self, name) for name in self.parts[1::2])

    @property
    def thresholds(self):
        """An entropy in nats for each early exit, a tuple of floats."""
        return self._thresholds

    @thresholds.setter
    def thresholds(self, values):
        """Raises ShapeError unless there is one for each early exit, none of them negative or NaN."""
        if not isinstance(values, (list, tuple, np.ndarray)) or len(values) != len(self.branches):
            raise ShapeError(f"thresholds must be a list of {len(self.branches)}, one for each early exit, "
                             f"not {values!r:.60}")
        for value in values:
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not number or not value >= 0:
                raise ShapeError(f"an exit's threshold is an entropy in nats, at least 0, not {value!r:.60}")
        self._thresholds = tuple(map(float, values))

    def input_shapes(self):
        shape, shapes = self.input_shape, {}
        for name, branch in zip(self.parts[::2], (*self.parts[1::2], None)):
            shapes[name], shape = shape, getattr(self, name).output_shape(shape)
            shapes.update({branch: shape} if branch else {})
        return shapes

    def config(self):
        """JSON values that from_config rebuilds the net from."""
        return {"input_shape": list(self.input_shape), "class_names": list(self.class_names),
                **self._threshold_config(), **{part: getattr(self, part).config() for part in self.parts}}

    def _threshold_config(self):
        return {"thresholds": list(self.thresholds)}

    @classmethod
    def from_config(cls, config):
        count = next(i for i in range(1, len(config) + 2) if f"stage{i + 1}" not in config)
        parts = [from_config(config[name]) for name in part_names(min(count, MOST_EXITS + 1))]
        return cls(parts[::2], parts[1::2], config["thresholds"], config["input_shape"], config["class_names"])

    def reached(self, exit_rate):
        """Share of the images that reach each stage, (K,). exit_rate: as `macs`. Raises ShapeError for wrong shares."""
        left, given = np.zeros(len(self.branches)), np.atleast_1d(np.asarray(exit_rate, np.float64))
        if given.ndim > 1 or len(given) > len(left) or not (given >= 0).all() or given.sum() > 1 + 1e-9:
            raise ShapeError(f"exit rates must be at most {len(left)} shares, 1 together at most, "
                             f"not {exit_rate!r:.60}")
        left[:len(given)] = given
        return np.append(1, 1 - np.cumsum(left)).clip(0, 1)

    def macs(self, exit_rate=0.0):
        """Expected multiply-adds for one image.

        exit_rate: the shares of all images that leave at exit 1, 2, ...; a plain number is that of exit 1, and 0 is
        that of exits that are not told.
        """
        shares = self.reached(exit_rate)
        costs = {name: getattr(self, name).macs(shape) for name, shape in self.input_shapes().items()}
        return sum(round(shares[i // 2] * costs[name]) for i, name in enumerate(self.parts))

    def _run(self, images):
        answer = self._empty_answer(len(images))
        lines = [[] for _ in self.branches]  # what waits for the second stage, the third, ...
        size = chunk_size(self.input_shape, self._peak)
        for here, x in chunks(images, self._peak):
            self._run_stage(1, x, np.arange(here.start, here.stop), answer, lines)
            least = 1 if here.stop == len(images) else size  # a stage runs on full chunks until no image is left
            for number, line in enumerate(lines, 2):
                while sum(len(places) for _, places in line) >= least:
                    x, places = (np.concatenate(column) for column in zip(*line))
                    line[:] = [(x[size:], places[size:])]
                    self._run_stage(number, x[:size], places[:size], answer, lines)
        return *answer, None

    def _run_stage(self, number, x, places, answer, lines):
        """Stage `number`, from 1 on, and its exit: x (M, ...), places (M,) of the rows of answer (p, entropy, exits).

        Who stays joins the line for the next stage, with the stage's output.
        """
        p, entropy, exits = answer
        shared, _ = self.stages[number - 1].forward(x)
        early = number <= len(lines)
        z = self.branches[number - 1].forward(shared)[0] if early else shared
        p[places], entropy[places] = probabilities_and_entropy(z)
        exits[places] = number
        stay = np.flatnonzero(~leaves(entropy[places], self.thresholds[number - 1])) if early else ()
        if len(stay):
            lines[number - 1].append((shared[stay], places[stay]))

    def all_exits(self, images):
        """Every image through all exits, for calibration: logits (K, N, O)."""
        logits = np.empty((len(self.stages), len(images), self.classes), np.float32)
        for here, x in chunks(images, self._peak):
            for number, stage in enumerate(self.stages):
                x, _ = stage.forward(x)
                early = number < len(self.branches)
                logits[number, here] = self.branches[number].forward(x)[0] if early else x
        return logits


def part_names(exits):
    """("stage1", "branch1", "stage2", ...) of a net with so many exits."""
    return tuple(f"{kind}{i + 1}" for i in range(exits) for kind in ("stage", "branch"))[:-1]


def cut_at_exit(net: MultiExit, number):
    """The layers on the way to exit `number` (1 is the first) as a plain Classifier. Shares its weights with `net`.

    Raises ShapeError for an exit that the net has not.
    """
    if number not in range(1, len(net.stages) + 1):
        raise ShapeError(f"this net has exits 1 to {len(net.stages)}, not {number!r:.60}")
    layers = [layer for stage in net.stages[:number] for layer in stage]
    layers += list(net.branches[number - 1]) if number <= len(net.branches) else []
    return Classifier(Sequential(layers), net.input_shape, net.class_names)
