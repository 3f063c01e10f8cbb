"""Knowledge transfer: a head that learns behind a frozen encoder (CAE-Net, section III-B)."""
import zlib

from npcbnet.layers import BatchNorm2d, Conv2d, MaxPool2d, ReLU
from npcbnet.nets.images import as_floats
from npcbnet.training import ClassifierTask


class HeadTask(ClassifierTask):
    """As ClassifierTask, of `head` alone: (N, F, P, Q) -> logits. The encoder before it keeps its weights."""

    def __init__(self, encoder, head, labels, **options):
        super().__init__(head, labels, **options)
        self.encoder = encoder

    def fingerprint(self):
        """As ClassifierTask.fingerprint, with what the encoder is."""
        weights = 0
        for array in self.encoder.params.values():
            weights = zlib.crc32(array, weights)
        return {**super().fingerprint(), "encoder": weights}

    def gradients(self, x, index, count, rng):
        """As ClassifierTask.gradients."""
        return super().gradients(self.encoder.forward(x)[0], index, count, rng)


def dead(model, images):
    """Share of zeros behind a Classifier's last convolution, for images (N, C, H, W) uint8; None without convolutions.

    CAE-Net, section IV-E, looks at "activation values of the last convolutional layer", so behind its ReLU, which in
    LeNet stands behind the pool.
    """
    places = [i for i, layer in enumerate(model.net) if isinstance(layer, Conv2d)]
    if not places:
        return None
    upto = places[-1] + 1
    while isinstance(model.net[upto], (BatchNorm2d, MaxPool2d)):
        upto += 1
    upto += isinstance(model.net[upto], ReLU)
    zeros = total = 0
    for start in range(0, len(images), 256):
        y = model.net[:upto].forward(as_floats(images[start:start + 256]))[0]
        zeros, total = zeros + int((y == 0).sum()), total + y.size
    return zeros / total
