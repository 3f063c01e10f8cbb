"""Knowledge transfer: a head that learns behind a frozen encoder (CAE-Net, section III-B)."""
import zlib

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


def dead(model, place, images):
    """Share of zeros among the outputs of layer `place` of a Classifier, for images (N, C, H, W) uint8.

    CAE-Net, section IV-E, looks at the last convolution's activations, so `place` is that of the ReLU behind it.
    """
    from npcbnet.nets.images import as_floats
    zeros = total = 0
    for start in range(0, len(images), 256):
        y = model.net[:place + 1].forward(as_floats(images[start:start + 256]))[0]
        zeros, total = zeros + (y == 0).sum(), total + y.size
    return float(zeros / total)
