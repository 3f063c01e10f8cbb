"""Weights that somebody else trained, in an .npz with the names of torchvision's state_dict, as a Classifier.

Where PyTorch is, three lines make such a file (ours never unpickles, so it does not read a .pth):

    import numpy, torchvision
    net = torchvision.models.resnet18(weights="DEFAULT")
    numpy.savez("weights.npz", **{name: array.numpy() for name, array in net.state_dict().items()})

and here `load("resnet18", "weights.npz")` or python -m npcbnet.import_weights reads it. Every name and shape must fit.
The arrays tell the stem of a ResNet, the dense layers and batch normalisation of a VGG16, and the number of classes. A
net that calls its layers otherwise needs them renamed in the third line. resnet32, which torchvision lacks, has the
names that its ResNet class would give it, as in github.com/chenyaofo/pytorch-cifar-models.
"""
import math
import os
import re
import stat
from pathlib import Path

import numpy as np

from npcbnet import npyfile
from npcbnet.errors import ModelFileError, NpcbnetError, UsageError
from npcbnet.layers import BatchNorm2d, Dense, Flatten, Sequential
from npcbnet.layers.base import aligned_empty
from npcbnet.nets.classifier import Classifier
from npcbnet.nets.mobilenetv2 import IMAGENET_STAGES, mobilenetv2_layers
from npcbnet.nets.resnet import CIFAR_CHANNELS, bottleneck, resnet_layers
from npcbnet.nets.torchvision_names import BLOCKS, check_architecture, names
from npcbnet.nets.vgg16 import vgg16_layers

VGG_SIDE = 7  # torchvision's VGG pools whatever its convolutions make to so many rows and columns
SMALL = 64  # pixels: below, MobileNetV2's first strides are left out
COUNTER = "num_batches_tracked"  # of torch's batch normalisation; nothing that predicts needs it
LISTED = 3  # names of a kind in a message
REMEDY = "write it with numpy.savez as npcbnet.nets.torchvision_weights tells, or choose the architecture that it is of"


def load(architecture, path, input_shape=(3, 32, 32), class_names=None, mean=None, std=None, stem=None):
    """The Classifier of an architecture with the weights in the .npz at `path`.

    class_names: "0", "1", ... where they are None. mean, std: of each channel, as the weights' training subtracted and
    divided by them from pixels in 0..1; they become a first layer. stem: "cifar" or "imagenet", of a MobileNetV2, whose
    arrays do not tell; None: by the size of the images. Images of another size than torchvision's go through a VGG16 as
    there: its dense layer is multiplied by its adaptive pooling, which gives the same answers with fewer weights.
    Raises UsageError for an unknown architecture, a stem that is unknown or of no use, and more or fewer names than
    classes; ModelFileError, in one line, for a file that is damaged or whose names and shapes are not the
    architecture's.
    """
    check_architecture(architecture)
    if stem not in (None, "cifar", "imagenet"):
        raise UsageError(f"a stem is 'cifar' or 'imagenet', not {stem!r:.60}")
    if stem is not None and architecture != "mobilenetv2":
        raise UsageError(f"a stem goes with mobilenetv2 alone, not with {architecture}; leave it out")
    if architecture == "vgg16" and any(side % 32 for side in input_shape[1:]):
        raise UsageError(f"sides of a VGG16 with torchvision's weights are multiples of 32, not {input_shape[1:]}")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise npyfile.damaged("is a folder or device, not an .npz", REMEDY)
        with open(path, "rb") as file:
            return _read(file, architecture, tuple(input_shape), class_names, (mean, std), stem)
    except UsageError:
        raise
    except NpcbnetError as error:
        reason = str(error).split(";")[0].replace("a model file", "an .npz").replace("model file", ".npz")
        raise ModelFileError(f"{npyfile.one_line(path, 100)}: {reason}; {REMEDY}") from None
    except OSError as error:
        raise ModelFileError(f"{npyfile.one_line(path, 100)}: cannot be read ({error.strerror or 'no seekable file'}); "
                             "check the path and its permissions") from None
    except MemoryError:
        raise ModelFileError(f"{npyfile.one_line(path, 100)}: too little memory for it on this machine; "
                             "choose a smaller model") from None
    except Exception as error:  # what zipfile and zlib raise for damage differs between their versions
        raise ModelFileError(f"{npyfile.one_line(path, 100)}: damaged ({type(error).__name__}: "
                             f"{npyfile.one_line(error, 80)}); {REMEDY}") from error


def _read(file, architecture, input_shape, class_names, normalise, stem):
    """load, of an open file. Raises ModelFileError without the file's name, or whatever zipfile raises."""
    archive, entries = npyfile.contents(file)
    with archive:
        entries = {name: info for name, info in entries.items() if not name.endswith(f".{COUNTER}")}
        found = {name: npyfile.describe(archive, info) for name, info in entries.items()}
        shapes = {name: floats.shape for name, floats in found.items()}
        classes = _classes(architecture, shapes, class_names)
        net = _layers(architecture, shapes, input_shape, classes, stem)
        places = names(architecture, net)
        first = _first_dense(net) if architecture == "vgg16" else None
        wanted = {name: _torch_shape(layer, own.rsplit(".", 1)[1], layer is first)
                  for name, (own, layer) in places.items()}
        _check_names(architecture, wanted, shapes)
        model = Classifier(net, input_shape, class_names or tuple(map(str, range(classes))))
        for name, (own, layer) in places.items():
            array = _checked(name, npyfile.numbers(archive, entries[name], found[name]))
            pooled = layer is first and array.ndim == 2
            net.params = {own: _ours(_pooled(array, layer, net, input_shape) if pooled else array, layer)}
    if any(value is not None for value in normalise):
        model = Classifier(Sequential([_normalisation(input_shape[0], *normalise), *net]), input_shape,
                           model.class_names)
    model.record = {"architecture": architecture, "weights": npyfile.one_line(Path(file.name).name, 100)}
    return model


def _layers(architecture, shapes, input_shape, classes, stem):
    """The layers that the arrays' names and shapes speak of, {name: shape}, without parameters."""
    if architecture == "vgg16":
        return vgg16_layers(input_shape, classes, hidden=[shape[0] for shape in _dense(shapes)[:-1]],
                            batch_norm=any(name.startswith("features.1.") for name in shapes))
    if architecture == "mobilenetv2":
        stem = stem or ("cifar" if min(input_shape[1:]) < SMALL else "imagenet")
        large = {"stages": IMAGENET_STAGES, "stride": 2} if stem == "imagenet" else {}
        return mobilenetv2_layers(input_shape, classes, **large)
    if architecture == "resnet32":
        projected = any(".downsample." in name for name in shapes)
        return resnet_layers(input_shape, classes, BLOCKS[architecture], CIFAR_CHANNELS,
                             shortcut="project" if projected else "pad")
    return resnet_layers(input_shape, classes, BLOCKS[architecture],
                         block=bottleneck if architecture == "resnet50" else None,
                         stem="imagenet" if shapes.get("conv1.weight", ())[2:] == (7, 7) else "cifar")


def _dense(shapes):
    """Shapes (out, in) of a VGG16's dense layers, in their order."""
    numbered = {int(found[1]): shape for name, shape in shapes.items()
                if (found := re.fullmatch(r"classifier\.([0-9]{1,4})\.weight", name)) and len(shape) == 2}
    return [numbered[i] for i in sorted(numbered)]


def _classes(architecture, shapes, class_names):
    """The number of classes that the last dense layer has; a guess where it is missing, which is said later.

    Raises UsageError where there are more names than classes, or fewer.
    """
    last = _dense(shapes)[-1:] or [()] if architecture in ("vgg16", "mobilenetv2") else [shapes.get("fc.weight", ())]
    if len(last[0]) != 2:
        return 1000 if class_names is None else len(class_names)
    if class_names is not None and len(class_names) != last[0][0]:
        raise UsageError(f"{len(class_names)} class names, but the weights have {last[0][0]} classes; name each of "
                         "them, or none")
    return last[0][0]


def _first_dense(net):
    return next(layer for layer in net if isinstance(layer, Dense))


def _torch_shape(layer, parameter, pooled):
    """The shapes that a parameter may have in torchvision; pooled: behind VGG's adaptive pooling."""
    shape = tuple(layer.param_shapes()[parameter])
    if not isinstance(layer, Dense) or parameter != "weight":
        return [shape]
    channels = 512 * VGG_SIDE ** 2
    return [shape[::-1], *([(shape[1], channels)] if pooled and shape[0] != channels else [])]


def _check_names(architecture, wanted, found):
    """Raise ModelFileError, one line, unless the arrays are those that the architecture has."""
    missing, unknown = [name for name in wanted if name not in found], [name for name in found if name not in wanted]
    wrong = [f"{name} {found[name]} for {' or '.join(map(str, shapes))}" for name, shapes in wanted.items()
             if name in found and found[name] not in shapes]
    told = [f"{what} {_listed(which)}" for what, which in (("missing", missing), ("unknown", unknown),
                                                           ("of the wrong shape", wrong)) if which]
    if told:
        raise ModelFileError(f"does not fit {architecture}: " + ", ".join(told))


def _listed(those):
    """The first of some names and how many more there are, without a line break or semicolon."""
    shown = ", ".join(npyfile.one_line(one, 80).replace(";", "?") for one in those[:LISTED])
    return shown + (f" and {len(those) - LISTED} more" if len(those) > LISTED else "")


def _checked(name, array):
    """The array as float32. Raises ModelFileError for NaN, infinity and negative variances."""
    with np.errstate(over="ignore", under="ignore"):
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise ModelFileError(f"array {name!r} holds NaN, infinity or values too large for float32")
    if name.endswith("running_var") and (array < 0).any():
        raise ModelFileError(f"array {name!r} holds a negative variance")
    return array


def _ours(array, layer):
    """The array as the layer wants it: of a dense layer (in, out), on a cache line."""
    array = array.T if isinstance(layer, Dense) else array
    made = aligned_empty(array.shape, np.float32)
    made[...] = array
    return made


def _pooled(array, layer, net, input_shape):
    """The first dense weight of a VGG16, (O, 512 * 49), times the adaptive pooling before it: (O, 512 * P * Q)."""
    if array.shape[1] == layer.in_features:
        return array
    end = next(i for i, inner in enumerate(net) if isinstance(inner, Flatten))
    channels, rows, columns = net[:end].output_shape(input_shape)
    down, across = _windows(rows), _windows(columns)
    made = np.empty((len(array), layer.in_features), np.float32)
    for row, whole in zip(made, array.reshape(-1, channels, VGG_SIDE, VGG_SIDE)):
        row[:] = (down.T @ whole @ across).ravel()
    return made


def _windows(side):
    """Adaptive mean pooling along one side, (7, side): window i goes from floor(i side / 7) to ceil((i + 1) side / 7),
    as torch.nn.AdaptiveAvgPool2d has it."""
    made = np.zeros((VGG_SIDE, side))
    for i in range(VGG_SIDE):
        start, end = i * side // VGG_SIDE, math.ceil((i + 1) * side / VGG_SIDE)
        made[i, start:end] = 1 / (end - start)
    return made


def _normalisation(channels, mean, std):
    """(x - mean) / std as a layer; None is 0 or 1."""
    values = {}
    for name, given, usual in (("mean", mean, 0.0), ("std", std, 1.0)):
        try:
            values[name] = np.broadcast_to(np.asarray(usual if given is None else given, np.float64), (channels,))
        except (ValueError, TypeError):
            raise UsageError(f"{name} is a number or one for each of {channels} channels, not {given!r:.60}") from None
    if not (np.isfinite(values["mean"]).all() and np.isfinite(values["std"]).all() and (values["std"] > 1e-6).all()):
        raise UsageError(f"mean and std are numbers, std above 0, not {mean!r:.60} and {std!r:.60}")
    layer = BatchNorm2d(channels, eps=1e-12)
    layer.params = {name: array.astype(np.float32) for name, array in
                    {"weight": np.ones(channels), "bias": np.zeros(channels), "running_mean": values["mean"],
                     "running_var": values["std"] ** 2}.items()}
    return layer
