"""The networks that an architecture search may draw: an encoder's widths, depths and strides, and its head."""
from dataclasses import dataclass, replace

from npcbnet.errors import UsageError

ATTEMPTS = 50  # to draw one that fits


@dataclass(frozen=True)
class Architecture:
    """Of an encoder: output channels and stride of each 3x3 convolution, whether a 2x2 pool follows; hidden: features
    of the head's dense layer."""

    widths: tuple
    strides: tuple
    hidden: int
    pool: bool = False

    def __str__(self):
        convolutions = " ".join(f"{width}/{stride}" for width, stride in zip(self.widths, self.strides))
        return f"conv {convolutions}, {'pool, ' if self.pool else ''}hidden {self.hidden}"


@dataclass(frozen=True)
class Space:
    """What may be drawn. least_side: rows or columns that the encoder's last map has at least."""

    depths: tuple = (1, 2, 3, 4, 5)
    widths: tuple = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
    strides: tuple = (1, 2)
    hidden: tuple = (16, 32, 64, 128, 256)
    least_side: int = 2

    def draw(self, rng, input_shape):
        """A random Architecture whose widths do not fall from layer to layer. Raises UsageError if none fits."""
        for _ in range(ATTEMPTS):
            depth = int(rng.choice(self.depths))
            made = Architecture(tuple(sorted(int(width) for width in rng.choice(self.widths, depth))),
                                tuple(int(stride) for stride in rng.choice(self.strides, depth)),
                                int(rng.choice(self.hidden)), bool(rng.integers(2)))
            if self.holds(made, input_shape):
                return made
        raise UsageError(f"no architecture of the space leaves a map of {self.least_side} x {self.least_side} of "
                         f"images of {input_shape}")

    def child(self, parent, rng, input_shape):
        """An Architecture of the space that differs from the parent in one thing; None if none was found."""
        for _ in range(ATTEMPTS):
            made = self._changed(parent, rng)
            if made != parent and self.holds(made, input_shape):
                return made
        return None

    def _changed(self, parent, rng):
        what, i = rng.choice(["width", "stride", "depth", "hidden", "pool"]), int(rng.integers(len(parent.widths)))
        if what == "width":
            return replace(parent, widths=_put(parent.widths, i, _near(self.widths, parent.widths[i], rng)))
        if what == "stride":
            return replace(parent, strides=_put(parent.strides, i, int(rng.choice(self.strides))))
        if what == "depth":
            shorter = rng.integers(2)
            widths = parent.widths[:i] + (() if shorter else 2 * parent.widths[i:i + 1]) + parent.widths[i + 1:]
            strides = parent.strides[:i] + (() if shorter else (parent.strides[i], 1)) + parent.strides[i + 1:]
            return replace(parent, widths=widths, strides=strides)
        if what == "hidden":
            return replace(parent, hidden=_near(self.hidden, parent.hidden, rng))
        return replace(parent, pool=not parent.pool)

    def holds(self, one, input_shape):
        """Is an Architecture of this space, and is its last map large enough?"""
        sides = [_last(side, one) for side in input_shape[1:]]
        return len(one.widths) in self.depths and set(one.widths) <= set(self.widths) \
            and list(one.widths) == sorted(one.widths) and min(sides) >= self.least_side


def _last(side, one):
    """The side of the last map: a convolution 3x3, pad 1 and stride s makes ceil(side / s) of it, a pool the half."""
    for stride in one.strides:
        side = -(-side // stride)
    return side // 2 if one.pool else side


def _near(values, value, rng):
    """One of a tuple's neighbours of a value in it."""
    place = values.index(value) + int(rng.choice([-1, 1]))
    return values[min(max(place, 0), len(values) - 1)]


def _put(values, place, value):
    return values[:place] + (value,) + values[place + 1:]
