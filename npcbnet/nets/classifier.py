"""One stack of layers that ends in logits: LeNet, the lightweight DNN, any truncated network."""
from npcbnet.errors import ShapeError
from npcbnet.exits import probabilities_and_entropy
from npcbnet.layers import Dense, Flatten, Sequential, from_config
from npcbnet.nets.model import Model, check_logits, chunks


class Classifier(Model):
    """net: Sequential, (N, C, H, W) -> logits (N, O)."""

    kind = "classifier"
    parts = ("net",)

    def __init__(self, net, input_shape, class_names):
        super().__init__(input_shape, class_names)
        self.net = net
        check_logits(net, self.input_shape, self.classes, "the network")
        self._peak = net.peak(self.input_shape)

    def config(self):
        """JSON values that from_config rebuilds the net from."""
        return {"input_shape": list(self.input_shape), "class_names": list(self.class_names),
                "net": self.net.config()}

    @classmethod
    def from_config(cls, config):
        return cls(from_config(config["net"]), config["input_shape"], config["class_names"])

    def macs(self):
        """Multiply-adds for one image."""
        return self.net.macs(self.input_shape)

    def _run(self, images):
        p, entropy, exits = self._empty_answer(len(images))
        for here, x in chunks(images, self._peak):
            z, _ = self.net.forward(x)
            p[here], entropy[here] = probabilities_and_entropy(z)
        return p, entropy, exits, None


def truncate(net: Sequential, layers, input_shape, classes):
    """The first `layers` layers of `net` (shared, not copied) and a fresh output layer: logits (N, O).

    The lightweight DNN of a network without branches (CBNet, section III-B). The output layer still needs `initialise`.
    Raises ShapeError unless 1 <= layers < len(net).
    """
    if not 1 <= layers < len(net):
        raise ShapeError(f"a network of {len(net)} layers can be cut after layer 1 to {len(net) - 1}, "
                         f"not after {layers}")
    head = net[:layers]
    shape = head.output_shape(input_shape)
    if len(shape) == 3:
        head = Sequential([*head, Flatten()])
        shape = head.output_shape(input_shape)
    return Sequential([*head, Dense(shape[0], classes)])
