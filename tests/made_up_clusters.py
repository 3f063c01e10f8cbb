"""Features of images that lie in clear clusters, and entropies for them, made up for tests."""
import numpy as np

from npcbnet import conversion


def blobs(seed=0, size=40, classes=2, kinds=3, noise=0.25, uneven=0.2):
    """Features (N, 12), labels and kinds: `kinds` blobs far apart in each class, in mixed order, of different sizes."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(classes), kinds * size)
    kind = np.concatenate([np.repeat(np.arange(kinds), size)] * classes)
    keep = rng.random(len(label)) < 1 - uneven * kind  # the first kind is the largest
    label, kind = label[keep], kind[keep]
    centres = 5 * np.eye(12)[:kinds * classes].reshape(classes, kinds, 12)
    features = centres[label, kind] + noise * rng.normal(size=(len(label), 12))
    order = rng.permutation(len(label))
    return features[order].astype(np.float32), label[order], kind[order]


def made_split(count, seed=0, right=0.8):
    """An EasyHard of made-up entropies, all different, for so many images."""
    rng = np.random.default_rng(seed)
    return conversion.EasyHard(rng.random(count), np.ones(count, bool), rng.random(count) < right)
