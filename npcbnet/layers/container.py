"""A layer that is made of layers."""
from abc import abstractmethod

from npcbnet.layers.base import Layer


class Container(Layer):
    """Parameters, gradients, statistics and the like of a part are named "part.name", however deep the parts nest."""

    @abstractmethod
    def parts(self):
        """{name of a part: its layer}, in the order in which they compute."""

    @property
    def params(self):
        return {f"{part}.{name}": array for part, layer in self.parts().items() for name, array in layer.params.items()}

    @params.setter
    def params(self, arrays):
        mine = {}
        for key, array in arrays.items():
            part, name = key.split(".", 1)
            mine.setdefault(part, {})[name] = array
        for part, named in mine.items():
            layer = self.parts()[part]
            layer.params = {**layer.params, **named}

    @property
    def statistics(self):
        return self._named("statistics")

    @property
    def integers(self):
        return self._named("integers")

    @property
    def levels(self):
        return self._named("levels")

    @property
    def scales(self):
        return self._named("scales")

    def _named(self, group):
        return tuple(f"{part}.{name}" for part, layer in self.parts().items() for name in getattr(layer, group))

    def param_shapes(self):
        return {f"{part}.{name}": shape for part, layer in self.parts().items()
                for name, shape in layer.param_shapes().items()}
