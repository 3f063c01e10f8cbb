"""Channels of zeros around those of an image (He et al., 2016, section 3.3, shortcut A)."""
import numpy as np

from npcbnet.layers.base import Layer, expect, images_first, images_last, positive


class PadChannels(Layer):
    """x (N, C, H, W) -> y (N, before + C + after, H, W): `before` channels of zeros, those of x, `after` more."""

    name = "padchannels"
    fields = ("before", "after")

    def __init__(self, before=0, after=0):
        super().__init__()
        positive("PadChannels", before=before, after=after)
        self.before, self.after = int(before), int(after)

    def output_shape(self, shape):
        expect(len(shape) == 3 and min(shape) > 0, self, shape, "(C, H, W) images")
        return (self.before + shape[0] + self.after, *shape[1:])

    def forward(self, x, train=False, rng=None):
        shape = self.output_shape(x.shape[1:])
        x = images_last(x)
        mine = slice(self.before, self.before + len(x))
        y = np.zeros((*shape, x.shape[3]), x.dtype)
        y[mine] = x
        return images_first(y), (lambda dy, need_dx=True: (dy[:, mine], {})) if train else None
