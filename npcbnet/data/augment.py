"""Small random changes to training images that keep their class."""
import numpy as np


def shifted(images, pixels, rng):
    """Each image moved by its own -pixels..pixels in x and y, the border filled with 0. images (N, C, H, W) -> same."""
    if pixels == 0 or not len(images):
        return images
    count, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)))
    moves = rng.integers(0, 2 * pixels + 1, (count, 2))
    moved = np.empty_like(images)
    for down in range(2 * pixels + 1):
        for right in range(2 * pixels + 1):
            these = np.flatnonzero((moves[:, 0] == down) & (moves[:, 1] == right))
            moved[these] = padded[these, :, down:down + height, right:right + width]
    return moved


def flipped(images, rng):
    """Each image mirrored left to right with probability 1/2. images (N, C, H, W) -> same."""
    mirror = rng.random(len(images)) < 0.5
    images = images.copy()
    images[mirror] = images[mirror, :, :, ::-1]
    return images
