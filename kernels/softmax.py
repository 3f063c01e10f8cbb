"""Softmax and entropy: logits z (N, O) -> probabilities p (N, O) and entropy h (N,), in nats, float64 sums.

No fast-math flag here: a NaN among an image's logits makes all its probabilities and its entropy NaN, on every path.
"""
import numpy as np

from npcbnet.kernels._jit import choose, jit


@jit(fastmath=())
def forward_loop(z, p, h):
    """Fill p with exp(z) / sum exp(z) and h with -sum p ln p (BranchyNet's confidence measure, natural logarithm).

    With s = sum exp(z - max): h = ln s - sum p (z - max), which never takes the logarithm of a probability of 0.
    """
    N, O = z.shape
    for n in range(N):
        top = z[n, 0]
        for o in range(O):
            if z[n, o] > top:
                top = z[n, o]
        total, weighted = 0.0, 0.0
        for o in range(O):
            shifted = np.float64(z[n, o]) - np.float64(top)
            e = np.exp(shifted)
            total += e
            if e > 0 or shifted != shifted:  # exp(-inf) * -inf is 0 here
                weighted += e * shifted
            p[n, o] = e
        for o in range(O):
            p[n, o] = p[n, o] / total
        h[n] = np.log(total) - weighted / total


def forward_numpy(z, p, h):
    """The same in NumPy."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        shifted = z.astype(np.float64) - z.max(axis=1, keepdims=True).astype(np.float64)
        e = np.exp(shifted)
        total = e.sum(axis=1, keepdims=True)
        p[:] = e / total
        entropy = np.log(total[:, 0]) - np.where(e == 0, 0, e * shifted).sum(axis=1) / total[:, 0]
    h[:] = np.where(np.isnan(entropy), entropy, np.maximum(entropy, 0))


forward = choose(forward_loop, forward_numpy)
