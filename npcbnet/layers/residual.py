"""A shortcut around layers (He et al., 2016)."""
from npcbnet.errors import ShapeError
from npcbnet.layers.base import Layer
from npcbnet.layers.container import Container


class Residual(Container):
    """y = shortcut(x) + body(x), without a shortcut y = x + body(x) (He et al., 2016, eq. 1 and 2). Any shape (N, ...).

    body, shortcut: layers, usually Sequentials. Parameters are named "body.0.weight", "shortcut.0.weight".
    """

    name = "residual"
    fields = nested = ("body", "shortcut")
    defaults = {"shortcut": None}

    def __init__(self, body, shortcut=None):
        super().__init__()
        for field, layer in ("body", body), ("shortcut", shortcut):
            if not isinstance(layer, Layer) and not (field == "shortcut" and layer is None):
                raise ShapeError(f"Residual: {field} must be a layer, e.g. Sequential([...]), not {layer!r:.60}")
        self.body, self.shortcut = body, shortcut

    def parts(self):
        """{"body": layer, "shortcut": layer}, the latter if there is one."""
        return {"body": self.body} if self.shortcut is None else {"body": self.body, "shortcut": self.shortcut}

    def config(self):
        """{"layer": "residual", "body": its configuration, "shortcut": its configuration if there is one}."""
        return {"layer": self.name, **{part: layer.config() for part, layer in self.parts().items()}}

    def output_shape(self, shape):
        made = self.body.output_shape(shape)
        passed = tuple(shape) if self.shortcut is None else self.shortcut.output_shape(shape)
        if made != passed:
            raise ShapeError(f"Residual: of an input of shape {tuple(shape)} the body makes {made}, "
                             f"the shortcut {passed}; both must make the same")
        return made

    def macs(self, shape):
        return sum(layer.macs(shape) for layer in self.parts().values())

    def peak(self, shape):
        return max(layer.peak(shape) for layer in self.parts().values())

    def forward(self, x, train=False, rng=None):
        self.output_shape(x.shape[1:])
        y, body_backward = self.body.forward(x, train, rng)
        passed, shortcut_backward = (x, None) if self.shortcut is None else self.shortcut.forward(x, train, rng)
        y = passed + y
        if not train:
            return y, None

        def backward(dy, need_dx=True):
            dx, own = body_backward(dy, need_dx)
            grads = {f"body.{name}": gradient for name, gradient in own.items()}
            back = dy
            if shortcut_backward is not None:
                back, own = shortcut_backward(dy, need_dx)
                grads.update((f"shortcut.{name}", gradient) for name, gradient in own.items())
            return (dx + back if need_dx else None), grads

        return y, backward
