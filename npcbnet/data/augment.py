"""Small random changes to training images that keep their class."""
import numpy as np


def shifted(images, pixels, rng):
    """Each image moved by its own -pixels..pixels in x and y, the border filled with 0. images (N, C, H, W) -> same.

    With 4 pixels, the augmentation of K. He et al., "Deep residual learning for image recognition", 2015, section 4.2:
    4 pixels padded on each side, and a random 32x32 crop of that.
    """
    if pixels == 0 or not len(images):
        return images
    count, channels, height, width = images.shape
    padded = np.zeros((count, channels, height + 2 * pixels, width + 2 * pixels), images.dtype)
    padded[:, :, pixels:-pixels, pixels:-pixels] = images
    down, right = rng.integers(0, 2 * pixels + 1, (count, 2)).T
    crops = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    return crops[np.arange(count), :, down, right]


def flipped(images, rng):
    """Each image mirrored left to right with probability 1/2, as in the same section. images (N, C, H, W) -> same."""
    mirror = rng.random(len(images)) < 0.5
    images = images.copy()
    images[mirror] = images[mirror, :, :, ::-1]
    return images
