"""Local response normalisation across channels (Krizhevsky et al., 2012, section 3.3)."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.layers.base import Layer, expect, images_first, images_last, positive, real

CONVENTIONS = ("sum", "mean")


class LocalResponseNorm(Layer):
    """x (N, C, H, W) -> y = x / s^beta, over the `size` channels around each, fewer at the first and last channels:

    convention "sum":  s = k + alpha * sum x^2         the paper, Chainer (and so BranchyNet's code)
    convention "mean": s = k + alpha / size * sum x^2  PyTorch, ONNX
    There are no defaults, because those of the two conventions differ. size is odd: of an even one each framework
    makes another window.
    """

    name = "localresponsenorm"
    fields = ("size", "alpha", "beta", "k", "convention")

    def __init__(self, size, alpha, beta, k, convention):
        super().__init__()
        positive("LocalResponseNorm", size=size)
        self.size = int(size)
        self.alpha, self.beta, self.k = (real("LocalResponseNorm", field, value) for field, value in
                                         (("alpha", alpha), ("beta", beta), ("k", k)))
        if size % 2 == 0 or self.alpha < 0 or self.k <= 0:  # so that s is positive
            raise ShapeError(f"LocalResponseNorm: size must be odd, alpha at least 0 and k above 0, "
                             f"not {size}, {alpha!r} and {k!r}")
        if convention not in CONVENTIONS:
            raise ShapeError("LocalResponseNorm: convention is 'sum' (Chainer) or 'mean' (PyTorch), "
                             f"not {convention!r:.60}")
        self.convention = convention

    def output_shape(self, shape):
        expect(len(shape) == 3 and min(shape) > 0, self, shape, "(C, H, W) images")
        return tuple(shape)

    def forward(self, x, train=False, rng=None):
        self.output_shape(x.shape[1:])
        x = images_last(x)
        alpha = x.dtype.type(self.alpha if self.convention == "sum" else self.alpha / self.size)
        s = self._around(np.square(x))
        s *= alpha
        s += x.dtype.type(self.k)
        factor = s ** x.dtype.type(-self.beta)
        y = images_first(x * factor)
        if not train:
            return y, None

        def backward(dy, need_dx=True):
            # The window is symmetric: what reaches channel c from channel d reaches d from c.
            dy = images_last(dy)
            back = self._around(dy * x * factor / s)
            return images_first(dy * factor - x * back * x.dtype.type(2 * self.beta) * alpha), {}

        return y, backward

    def _around(self, x):
        """For each channel of x (C, H, W, N) the sum over the channels of its window, in a fixed order."""
        total = x.copy()
        for distance in range(1, min(self.size // 2, len(x) - 1) + 1):
            total[distance:] += x[:-distance]
            total[:-distance] += x[distance:]
        return total
