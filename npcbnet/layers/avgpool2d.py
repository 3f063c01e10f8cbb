"""Mean over windows."""
from npcbnet.errors import ShapeError
from npcbnet.kernels import pool
from npcbnet.layers.base import Layer, aligned_empty, flag, images_first, images_last, positive
from npcbnet.layers.maxpool2d import pooled_shape


class AvgPool2d(Layer):
    """x (N, C, H, W) -> y (N, C, P, Q). count_pad: padding counts as pixels of 0 (what ceil mode adds never does)."""

    name = "avgpool2d"
    fields = ("kernel", "stride", "pad", "ceil_mode", "count_pad")

    def __init__(self, kernel=2, stride=None, pad=0, ceil_mode=False, count_pad=False):
        super().__init__()
        stride = kernel if stride is None else stride
        positive("AvgPool2d", kernel=kernel, stride=stride, pad=pad)
        self.kernel, self.stride, self.pad = int(kernel), int(stride), int(pad)
        self.ceil_mode = flag("AvgPool2d", "ceil_mode", ceil_mode)
        self.count_pad = flag("AvgPool2d", "count_pad", count_pad)
        if self.pad >= self.kernel:  # or a window might see no pixel at all
            raise ShapeError(f"AvgPool2d: pad must be smaller than the kernel, not {pad} for a kernel of {kernel}")

    def output_shape(self, shape):
        return pooled_shape(self, shape)

    def forward(self, x, train=False, rng=None):
        shape = self.output_shape(x.shape[1:])
        x = images_last(x)
        y = aligned_empty((*shape, x.shape[3]), x.dtype)
        pool.average_forward(x, self.kernel, self.stride, self.pad, self.count_pad, y)
        if not train:
            return images_first(y), None
        x_shape = x.shape

        def backward(dy, need_dx=True):
            dx = aligned_empty(x_shape, dy.dtype)
            pool.average_backward(images_last(dy), self.kernel, self.stride, self.pad, self.count_pad, dx)
            return images_first(dx), {}

        return images_first(y), backward
