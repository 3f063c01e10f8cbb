"""A network with one early exit (Teerapittayanon et al., 2016; CBNet, section II-B)."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.exits import leaves, probabilities_and_entropy
from npcbnet.layers import Sequential, from_config, initialise
from npcbnet.nets import lenet
from npcbnet.nets.classifier import Classifier
from npcbnet.nets.model import Model, check_logits, chunks, together

WAITING = 16  # chunks of images that may wait for the trunk before it runs, so that it runs on full ones


class BranchyNet(Model):
    """stem -> branch -> exit 1 if the answer's entropy is below `threshold` (nats), else stem -> trunk -> exit 2."""

    kind = "branchynet"
    parts = ("stem", "branch", "trunk")

    def __init__(self, stem, branch, trunk, threshold, input_shape, class_names):
        super().__init__(input_shape, class_names)
        self.stem, self.branch, self.trunk = stem, branch, trunk
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float, np.number)) or not threshold >= 0:
            raise ShapeError(f"an exit's threshold is an entropy in nats, at least 0, not {threshold!r}")
        self.threshold = float(threshold)
        shape = stem.output_shape(self.input_shape)
        check_logits(branch, shape, self.classes, "the branch")
        check_logits(trunk, shape, self.classes, "the trunk")

    def config(self):
        """JSON values that from_config rebuilds the net from."""
        return {"input_shape": list(self.input_shape), "class_names": list(self.class_names),
                "threshold": self.threshold, **{part: getattr(self, part).config() for part in self.parts}}

    @classmethod
    def from_config(cls, config):
        return cls(*(from_config(config[part]) for part in cls.parts), config["threshold"],
                   config["input_shape"], config["class_names"])

    def macs(self, exit_rate=0.0):
        """Expected multiply-adds for one image when the share `exit_rate` of the images leaves early."""
        shape = self.stem.output_shape(self.input_shape)
        return (self.stem.macs(self.input_shape) + self.branch.macs(shape)
                + round((1 - exit_rate) * self.trunk.macs(shape)))

    def _run(self, images):
        p, entropy, exits = self._empty_answer(len(images))
        waiting, places = [], []  # stem outputs of the images that stay, and where their answers go
        for here, x in chunks(images):
            shared, _ = self.stem.forward(x)
            p[here], entropy[here] = probabilities_and_entropy(self.branch.forward(shared)[0])
            stay = np.flatnonzero(~leaves(entropy[here], self.threshold))
            if len(stay):
                waiting.append(shared[stay])
                places.append(here.start + stay)
            if sum(map(len, places)) >= WAITING * together() or (places and here.stop == len(images)):
                self._run_trunk(np.concatenate(waiting), np.concatenate(places), p, entropy, exits)
                waiting, places = [], []
        return p, entropy, exits, None

    def _run_trunk(self, shared, places, p, entropy, exits):
        """Answer the images that did not leave: shared (M, ...) stem outputs, places (M,) rows of the answer."""
        for start in range(0, len(places), together()):
            rows = places[start:start + together()]
            z, _ = self.trunk.forward(shared[start:start + together()])
            p[rows], entropy[rows] = probabilities_and_entropy(z)
            exits[rows] = 2

    def both_exits(self, images):
        """Every image through both exits, for calibration: logits (N, O) at exit 1 and at exit 2."""
        early, late = np.empty((2, len(images), self.classes), np.float32)
        for here, x in chunks(images):
            shared, _ = self.stem.forward(x)
            early[here], late[here] = self.branch.forward(shared)[0], self.trunk.forward(shared)[0]
        return early, late


def branchynet_lenet(input_shape, class_names, rng, threshold=0.0):
    """A fresh BranchyNet-LeNet, weights N(0, 1 / fan in)."""
    stem = lenet.stem(input_shape[0])
    shape = stem.output_shape(input_shape)
    parts = [initialise(part, rng) for part in
             (stem, lenet.branch(shape, len(class_names)), lenet.trunk(shape, len(class_names)))]
    return BranchyNet(*parts, threshold, input_shape, class_names)


def lightweight(net: BranchyNet):
    """The lightweight DNN: `net` cut after its first exit (CBNet, section III-B). Shares its weights with `net`."""
    return Classifier(Sequential([*net.stem, *net.branch]), net.input_shape, net.class_names)
