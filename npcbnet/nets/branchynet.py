"""A network with one early exit (Teerapittayanon et al., 2016; CBNet, section II-B)."""
from npcbnet.layers import from_config, initialise
from npcbnet.nets import lenet
from npcbnet.nets.multiexit import MultiExit, cut_at_exit


class BranchyNet(MultiExit):
    """stem -> branch -> exit 1 if the answer's entropy is below `threshold` (nats), else stem -> trunk -> exit 2.

    The MultiExit of two stages; its parts have names of their own.
    """

    kind = "branchynet"
    parts = ("stem", "branch", "trunk")

    def __init__(self, stem, branch, trunk, threshold, input_shape, class_names):
        super().__init__((stem, trunk), (branch,), (threshold,), input_shape, class_names)

    @property
    def threshold(self):
        """The entropy in nats below which an image leaves."""
        return self.thresholds[0]

    @threshold.setter
    def threshold(self, value):
        """Raises ShapeError for a negative one and NaN."""
        self.thresholds = (value,)

    def _threshold_config(self):
        return {"threshold": self.threshold}

    @classmethod
    def from_config(cls, config):
        return cls(*(from_config(config[part]) for part in cls.parts), config["threshold"],
                   config["input_shape"], config["class_names"])

    def both_exits(self, images):
        """Every image through both exits, for calibration: logits (N, O) at exit 1 and at exit 2."""
        early, late = self.all_exits(images)
        return early, late


def branchynet_lenet(input_shape, class_names, rng, threshold=0.0):
    """A fresh BranchyNet-LeNet, weights N(0, 1 / fan in)."""
    stem = lenet.stem(input_shape[0])
    shape = stem.output_shape(input_shape)
    parts = [initialise(part, rng) for part in
             (stem, lenet.branch(shape, len(class_names)), lenet.trunk(shape, len(class_names)))]
    return BranchyNet(*parts, threshold, input_shape, class_names)


def lightweight(net: MultiExit):
    """The lightweight DNN: `net` cut after its first exit (CBNet, section III-B). Shares its weights with `net`."""
    return cut_at_exit(net, 1)
