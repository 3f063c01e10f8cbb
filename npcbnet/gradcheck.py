"""Is a backward pass right? Compare it with finite differences along random directions, in float64."""
import numpy as np


def gradcheck(layer, x, rng, directions=3, step=1e-6):
    """The largest relative error of the layer's gradients (by its input and by every parameter that is learned).

    layer: any Layer with parameters; they are used in float64 and put back. x (N, ...): an input.
    With a random cotangent c, the scalar L = sum(c * forward(x)) has the directional derivative
    (L(x + s u) - L(x - s u)) / 2s along a random unit direction u; the backward pass must give the same number,
    <dL/dx, u>. A right backward gives about 1e-8; kinks (ReLU at 0, ties in a maximum) within `step` of a value spoil
    the comparison, so keep x away from them.
    """
    kept = dict(layer.params)
    x = np.asarray(x, np.float64)
    point = {name: np.array(array, np.float64) for name, array in kept.items()} | {"x": x}
    seed = int(rng.integers(2 ** 32))

    def run(values, train):
        layer.params = {name: array for name, array in values.items() if name != "x"}
        return layer.forward(values["x"], train, np.random.default_rng(seed))

    try:
        y, backward = run(point, True)
        cotangent = rng.standard_normal(y.shape)
        dx, grads = backward(cotangent)
        grads = {**grads, "x": dx}
        worst = 0.0
        for name in [name for name in point if name not in layer.statistics]:
            for _ in range(directions):
                direction = rng.standard_normal(point[name].shape)
                direction /= max(np.linalg.norm(direction), 1e-300)
                ends = [run(point | {name: point[name] + sign * step * direction}, True)[0] for sign in (1, -1)]
                numeric = float((cotangent * (ends[0] - ends[1])).sum()) / (2 * step)
                analytic = float((grads[name] * direction).sum())
                scale = max(abs(numeric), abs(analytic), 1e-3 * np.linalg.norm(y), 1e-300)
                worst = max(worst, abs(numeric - analytic) / scale)
        return worst
    finally:
        layer.params = kept
