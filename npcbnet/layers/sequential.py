"""Layers one after the other."""
import math

from npcbnet.errors import ShapeError
from npcbnet.layers.container import Container
from npcbnet.layers.maxpool2d import MaxPool2d
from npcbnet.layers.relu import ReLU


class Sequential(Container):
    """A list of layers; its backward is the list of theirs, run from the end.

    Parameters and gradients of layer i are named "i.weight", "i.bias". A ReLU behind a MaxPool2d is computed by the
    pool, in the same pass over the map and to the same bits.
    """

    name = "sequential"

    def __init__(self, layers):
        super().__init__()
        self.layers = list(layers)

    def __len__(self):
        return len(self.layers)

    def __iter__(self):
        return iter(self.layers)

    def __getitem__(self, index):
        """One layer, or for a slice a Sequential that shares those layers and their weights."""
        return Sequential(self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def parts(self):
        """{"0": the first layer, "1": the second, ...}."""
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def config(self):
        """The list of the layers' configurations."""
        return [layer.config() for layer in self.layers]

    def shapes(self, shape):
        """The shape of one image before the first layer and after each: a list of len(self) + 1 tuples."""
        shapes = [tuple(shape)]
        for i, layer in enumerate(self.layers):
            try:
                shapes.append(layer.output_shape(shapes[-1]))
            except ShapeError as error:
                raise ShapeError(f"layer {i + 1} of {len(self)}: {error}") from None
        return shapes

    def output_shape(self, shape):
        return self.shapes(shape)[-1]

    def macs(self, shape):
        return sum(layer.macs(before) for layer, before in zip(self.layers, self.shapes(shape)))

    def peak(self, shape):
        shapes = self.shapes(shape)
        return max([math.prod(shapes[0]), *(layer.peak(before) for layer, before in zip(self.layers, shapes))])

    def forward(self, x, train=False, rng=None):
        backwards, rectified = [], False
        for layer, after in zip(self.layers, [*self.layers[1:], None]):
            if rectified:  # this ReLU's work is done, and undone, by the pool before it
                rectified, backward = False, None
            elif rectified := isinstance(layer, MaxPool2d) and isinstance(after, ReLU):
                x, backward = layer.forward(x, train, rng, rectify=True)
            else:
                x, backward = layer.forward(x, train, rng)
            backwards.append(backward)
        if not train:
            return x, None

        def backward(dy, need_dx=True):
            grads = {}
            for i in range(len(backwards) - 1, -1, -1):
                if backwards[i] is not None:
                    dy, own = backwards[i](dy, need_dx or i > 0)
                    grads.update((f"{i}.{name}", gradient) for name, gradient in own.items())
            return dy, grads

        return x, backward

    def __repr__(self):
        return "Sequential([" + ", ".join(map(repr, self.layers)) + "])"
