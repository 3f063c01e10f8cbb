"""Weights that share few values, as a model file stores them: a codebook of the values, and one short code a weight.

    .5 -.1 .5 .5 -.1 ...   ->   values [-.1 .5]   codes 1 0 1 1 0 ...    4 bits each up to 16 values, 8 bits up to 256

Nothing is rounded: the values are told apart by their bits, and come back with the same bits.
"""
import math

import numpy as np

from npcbnet.errors import ModelFileError

NIBBLE = 16  # so many values have codes of 4 bits
MOST = 256  # values of a codebook
LEAST_WEIGHTS = 64  # of fewer a codebook saves nothing
SAMPLE = 2048  # weights that are looked at first: trained ones show there that they share nothing


def encode(array):
    """float32 of any shape -> (codes as bytes, a flat uint8 array; values (K,) float32), None where that saves nothing.

    Two codes of 4 bits share a byte, the first in its low half.
    """
    bits = np.ascontiguousarray(array, np.float32).reshape(-1).view(np.uint32)
    if bits.size < LEAST_WEIGHTS or len(np.unique(bits[:SAMPLE])) > MOST:
        return None
    values, codes = np.unique(bits, return_inverse=True)
    if len(values) > MOST:
        return None
    codes = codes.reshape(-1).astype(np.uint8)
    if len(values) <= NIBBLE:
        low, high = codes[::2], np.zeros(-(-codes.size // 2), np.uint8)
        high[:codes.size // 2] = codes[1::2]
        codes = low | high << 4
    values = values.view(np.float32)
    return (codes, values) if codes.nbytes + values.nbytes < bits.nbytes // 2 else None


def code_bytes(count, values):
    """Bytes of `count` codes that choose among so many values."""
    return -(-count // 2) if values <= NIBBLE else count


def decode(codes, values, shape):
    """What encode made, back: codes flat uint8, values (K,) float32 -> float32 of `shape`.

    Raises ModelFileError for codes that no value stands behind.
    """
    count = math.prod(shape)
    if len(values) <= NIBBLE:
        wide = np.empty(2 * codes.size, np.uint8)
        wide[::2], wide[1::2] = codes & 15, codes >> 4
        codes, rest = wide[:count], wide[count:]
        if rest.any():
            raise ModelFileError("its codes do not end with its weights")
    if codes.size != count or (count and codes.max() >= len(values)):
        raise ModelFileError(f"its codes do not fit its codebook of {len(values)} values")
    return values[codes].reshape(shape)
