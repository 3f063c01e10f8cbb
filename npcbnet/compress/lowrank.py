"""Low rank: one dense layer as two thin ones, the best that so few features between them can say."""
import numpy as np

from npcbnet.errors import UsageError
from npcbnet.layers import Dense


def factorise(layer, rank):
    """Dense (D -> O) -> [Dense (D -> rank), Dense (rank -> O)], their product the weight's truncated SVD.

    W = U S V^T is nearest to the weight, in squares, of all matrices of that rank (Eckart and Young, 1936); each layer
    takes a root of S. Raises UsageError unless 1 <= rank <= min(D, O).
    """
    if not 1 <= rank <= min(layer.in_features, layer.out_features):
        raise UsageError(f"{layer!r} has ranks from 1 to {min(layer.in_features, layer.out_features)}, not {rank}")
    weight = layer.params["weight"]
    u, s, v = np.linalg.svd(weight.astype(np.float64), full_matrices=False)
    root = np.sqrt(s[:rank])
    first, second = Dense(layer.in_features, rank), Dense(rank, layer.out_features)
    first.params = {"weight": (u[:, :rank] * root).astype(weight.dtype, order="C"),
                    "bias": np.zeros(rank, weight.dtype)}
    second.params = {"weight": (root[:, None] * v[:rank]).astype(weight.dtype, order="C"),
                     "bias": layer.params["bias"].copy()}
    return [first, second]
