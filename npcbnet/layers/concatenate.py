"""Two ways side by side, their channels one behind the other (Iandola et al., 2016, SqueezeNet's expand layer)."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.layers.base import Layer, images_first, images_last
from npcbnet.layers.container import Container


class Concatenate(Container):
    """x (N, ...) -> first(x) (N, F, P, Q) and second(x) (N, G, P, Q) as y (N, F + G, P, Q); of features (N, F + G).

    first, second: layers, usually Sequentials. Parameters are named "first.0.weight", "second.0.weight".
    """

    name = "concatenate"
    fields = nested = ("first", "second")

    def __init__(self, first, second):
        super().__init__()
        for field, layer in ("first", first), ("second", second):
            if not isinstance(layer, Layer):
                raise ShapeError(f"Concatenate: {field} must be a layer, e.g. Sequential([...]), not {layer!r:.60}")
        self.first, self.second = first, second

    def parts(self):
        """{"first": layer, "second": layer}."""
        return {"first": self.first, "second": self.second}

    def config(self):
        """{"layer": "concatenate", "first": its configuration, "second": its configuration}."""
        return {"layer": self.name, **{part: layer.config() for part, layer in self.parts().items()}}

    def output_shape(self, shape):
        one, two = (layer.output_shape(shape) for layer in self.parts().values())
        if one[1:] != two[1:] or len(one) != len(two):
            raise ShapeError(f"Concatenate: of an input of shape {tuple(shape)} the first way makes {one}, "
                             f"the second {two}; only the channels may differ")
        return (one[0] + two[0], *one[1:])

    def macs(self, shape):
        return sum(layer.macs(shape) for layer in self.parts().values())

    def peak(self, shape):
        return max(super().peak(shape), *(layer.peak(shape) for layer in self.parts().values()))

    def forward(self, x, train=False, rng=None):
        self.output_shape(x.shape[1:])
        made = {part: layer.forward(x, train, rng) for part, layer in self.parts().items()}
        y = images_first(np.concatenate([images_last(one) for one, _ in made.values()]))
        if not train:
            return y, None
        split = made["first"][0].shape[1]

        def backward(dy, need_dx=True):
            dx, grads = [], {}
            for (part, (_, back)), own in zip(made.items(), (dy[:, :split], dy[:, split:])):
                back_dx, inner = back(own, need_dx)
                dx.append(back_dx)
                grads.update((f"{part}.{name}", gradient) for name, gradient in inner.items())
            return (dx[0] + dx[1] if need_dx else None), grads

        return y, backward
