"""Intraclass clustering (CAE-Net, section III-A2): like images of a class share a target, the easiest among them.

    features = penultimate(baseline, images)                     # what the baseline sees in an image
    split = conversion.easy_by_entropy(baseline, images, labels)
    found = cluster(features, labels, split, classes, Options("k-means", clusters=3))
    targets = found.targets(images, split)               # for conversion.ConverterTask
"""
from npcbnet.clustering.classes import Clustering, cluster
from npcbnet.clustering.density import check_method
from npcbnet.clustering.elbows import Elbow, elbow, elbow_point
from npcbnet.clustering.features import after_convolution, convolutional, features_at, penultimate
from npcbnet.clustering.options import METHODS, Options
from npcbnet.clustering.quality import Quality, quality, silhouette

__all__ = ["METHODS", "Clustering", "Elbow", "Options", "Quality", "after_convolution", "check_method",
           "cluster", "convolutional", "elbow", "elbow_point", "features_at", "penultimate", "quality", "silhouette"]
