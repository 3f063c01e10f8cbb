"""Between images and rows of features."""
from npcbnet.errors import ShapeError
from npcbnet.layers.base import Layer, images_first, images_last, positive


def _product(shape):
    size = 1
    for side in shape:
        size *= side
    return size


class Flatten(Layer):
    """x (N, C, H, W) -> y (N, C * H * W), channel by channel, row by row."""

    name = "flatten"

    def output_shape(self, shape):
        return (_product(shape),)

    def forward(self, x, train=False, rng=None):
        if x.ndim == 0:
            raise ShapeError("Flatten takes images (N, ...), not a single number")
        x = images_last(x)
        shape = x.shape
        y = images_first(x.reshape(_product(shape[:-1]), shape[-1]))
        if not train:
            return y, None
        return y, lambda dy, need_dx=True: (images_first(images_last(dy).reshape(shape)), {})


class Reshape(Layer):
    """x (N, D) -> y (N, *shape), the inverse of Flatten."""

    name = "reshape"
    fields = ("shape",)

    def __init__(self, shape):
        super().__init__()
        if not isinstance(shape, (list, tuple)) or len(shape) not in (1, 3):
            raise ShapeError(f"Reshape: shape must be (D,) or (C, H, W), not {shape!r}")
        positive("Reshape", **{f"side {i}": side for i, side in enumerate(shape)})
        self.shape = [int(side) for side in shape]

    def output_shape(self, shape):
        if _product(shape) != _product(self.shape):
            raise ShapeError(f"{self!r} cannot hold the {_product(shape)} values of an input of shape {tuple(shape)}")
        return tuple(self.shape)

    def forward(self, x, train=False, rng=None):
        self.output_shape(x.shape[1:])
        x = images_last(x)
        shape = x.shape
        y = images_first(x.reshape(*self.shape, shape[-1]))
        if not train:
            return y, None
        return y, lambda dy, need_dx=True: (images_first(images_last(dy).reshape(shape)), {})
