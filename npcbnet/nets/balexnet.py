"""B-AlexNet: BranchyNet's AlexNet with three exits (Teerapittayanon et al., 2016; their networks/alex_cifar10.py).

    stage1   conv 3->32 5x5, ReLU, pool, LRN, conv 32->64 5x5, ReLU, pool, LRN      3x32x32 -> 64x8x8
    branch1      conv 64->32 3x3, ReLU, conv 32->32 3x3, ReLU, pool, FC 512->10                -> exit 1
    stage2   conv 64->96 3x3, ReLU                                                  -> 96x8x8
    branch2      pool, LRN, conv 96->32 3x3, ReLU, pool, FC 128->10                            -> exit 2
    stage3   conv 96->96 3x3, ReLU, conv 96->64 3x3, ReLU, pool, FC 1024->256->128->10         -> exit 3

Pools are 3x3 with stride 2, in ceil mode. In the authors' code the branches hang on the raw outputs of the second and
third convolution; there the ReLU (after the second also pool and LRN) stands in both ways, here once in the stage,
which computes the same.
"""
from npcbnet.layers import Conv2d, Dense, Dropout, Flatten, LocalResponseNorm, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets.multiexit import MultiExit

DROPOUT = 0.5


def balexnet(input_shape, class_names, rng, thresholds=(0.0, 0.0)):
    """A fresh B-AlexNet: MultiExit, weights N(0, 1 / fan in) as in the authors' framework."""
    channels, classes = input_shape[0], len(class_names)
    stages = [Sequential([*conv(channels, 32, 5), *pool_and_norm(), *conv(32, 64, 5), *pool_and_norm()]),
              Sequential(conv(64, 96, 3)),
              Sequential([*conv(96, 96, 3), *conv(96, 64, 3), pool(), Flatten()])]
    branches = [Sequential([*conv(64, 32, 3), *conv(32, 32, 3), pool(), Flatten()]),
                Sequential([*pool_and_norm(), *conv(96, 32, 3), pool(), Flatten()])]
    shape = tuple(input_shape)
    for i, stage in enumerate(stages[:-1]):
        shape = stage.output_shape(shape)
        branches[i] = with_dense(branches[i], shape, (classes,))
    stages[-1] = with_dense(stages[-1], shape, (256, 128, classes))
    for part in (*stages, *branches):
        initialise(part, rng)
    return MultiExit(stages, branches, thresholds, input_shape, class_names)


def conv(before, after, kernel):
    """A convolution that keeps the map's size, and its ReLU."""
    return [Conv2d(before, after, kernel, pad=kernel // 2), ReLU()]


def pool():
    """The maximum over 3x3 pixels, every second one; the last window may reach over the edge."""
    return MaxPool2d(3, 2)


def pool_and_norm():
    """A pool and local response normalisation as Chainer has it: alpha times the sum, not the mean."""
    return [pool(), LocalResponseNorm(3, alpha=5e-5, beta=0.75, k=2, convention="sum")]


def with_dense(net, shape, sizes):
    """net on inputs of `shape`, then dense layers of these sizes, with ReLU and dropout after each but the last."""
    layers = list(net)
    (previous,) = net.output_shape(shape)
    for size in sizes[:-1]:
        layers += [Dense(previous, size), ReLU(), Dropout(DROPOUT)]
        previous = size
    return Sequential([*layers, Dense(previous, sizes[-1])])
