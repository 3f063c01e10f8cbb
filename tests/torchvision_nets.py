"""torchvision's nets as their source tells them: names and shapes of the state_dict, and forward in plain NumPy.

Written from torchvision/models/{resnet,vgg,mobilenetv2}.py (github.com/pytorch/vision); every array is reached by
torchvision's name. Knows nothing of npcbnet.
"""
import numpy as np

VGG_D = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
MOBILENET = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
RESNETS = {"resnet18": ("basic", (2, 2, 2, 2), 64), "resnet50": ("bottleneck", (3, 4, 6, 3), 64),
           "resnet32": ("basic", (5, 5, 5), 16)}


class Shapes(dict):
    """{name: shape}, filled by the modules that are added."""

    def conv(self, name, size, channels, kernel, bias=False):
        self[f"{name}.weight"] = (size, channels, kernel, kernel)
        if bias:
            self[f"{name}.bias"] = (size,)

    def bn(self, name, size):
        for parameter in ("weight", "bias", "running_mean", "running_var"):
            self[f"{name}.{parameter}"] = (size,)
        self[f"{name}.num_batches_tracked"] = ()

    def linear(self, name, features, size):
        self[f"{name}.weight"], self[f"{name}.bias"] = (size, features), (size,)


def vgg16_shapes(classes=1000, hidden=(4096, 4096), batch_norm=False, features=512 * 7 * 7):
    s, i, channels = Shapes(), 0, 3
    for size in VGG_D:
        if size != "M":
            s.conv(f"features.{i}", size, channels, 3, bias=True)
            if batch_norm:
                s.bn(f"features.{i + 1}", size)
            i, channels = i + (2 if batch_norm else 1), size
        i += 1  # the ReLU or the pool
    for place, size in zip((0, 3, 6), (*hidden, classes)):
        s.linear(f"classifier.{place}", features, size)
        features = size
    return s


def resnet_shapes(architecture, classes=1000, stem=7, downsample=True):
    block, blocks, width = RESNETS[architecture]
    s, inplanes, expansion = Shapes(), width, 4 if block == "bottleneck" else 1
    s.conv("conv1", width, 3, stem)
    s.bn("bn1", width)
    for stage, count in enumerate(blocks):
        planes = width * 2 ** stage
        for i in range(count):
            name, kernels = f"layer{stage + 1}.{i}", (1, 3, 1) if expansion == 4 else (3, 3)
            sizes = (inplanes, *[planes] * (len(kernels) - 1), planes * expansion)
            for j, kernel in enumerate(kernels):
                s.conv(f"{name}.conv{j + 1}", sizes[j + 1], sizes[j], kernel)
                s.bn(f"{name}.bn{j + 1}", sizes[j + 1])
            if downsample and (inplanes != planes * expansion or (stage and not i)):
                s.conv(f"{name}.downsample.0", planes * expansion, inplanes, 1)
                s.bn(f"{name}.downsample.1", planes * expansion)
            inplanes = planes * expansion
    s.linear("fc", inplanes, classes)
    return s


def mobilenetv2_shapes(classes=1000):
    s, channels, k = Shapes(), 32, 0
    s.conv("features.0.0", 32, 3, 3)
    s.bn("features.0.1", 32)
    for t, c, n, _ in MOBILENET:
        for _ in range(n):
            k, wide, j = k + 1, channels * t, 0
            if t != 1:
                s.conv(f"features.{k}.conv.0.0", wide, channels, 1)
                s.bn(f"features.{k}.conv.0.1", wide)
                j = 1
            s.conv(f"features.{k}.conv.{j}.0", wide, 1, 3)
            s.bn(f"features.{k}.conv.{j}.1", wide)
            s.conv(f"features.{k}.conv.{j + 1}", c, wide, 1)
            s.bn(f"features.{k}.conv.{j + 2}", c)
            channels = c
    s.conv("features.18.0", 1280, 320, 1)
    s.bn("features.18.1", 1280)
    s.linear("classifier.1", 1280, classes)
    return s


def drawn(shapes, rng):
    """Random arrays of these shapes: weights that keep the size of values, variances above 0, a counter."""
    made = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            made[name] = np.array(7, np.int64)
        elif name.endswith("running_var"):
            made[name] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        elif len(shape) == 1:
            made[name] = (rng.normal(0, 0.2, shape) + (name.split(".")[-1] == "weight")).astype(np.float32)
        else:
            made[name] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
    return made


class Forward:
    """Modules that take their weights from w, {name: array}, in float64; x is (N, C, H, W)."""

    def __init__(self, w):
        self.w = {name: array.astype(np.float64) for name, array in w.items()}

    def conv(self, x, name, stride=1, pad=0, depthwise=False):
        weight = self.w[f"{name}.weight"]
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (2, 3))[:, :, ::stride, ::stride]
        if depthwise:
            return np.einsum("ncpqkl,ckl->ncpq", windows, weight[:, 0])
        y = np.tensordot(windows, weight, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
        return y + self.w[f"{name}.bias"][:, None, None] if f"{name}.bias" in self.w else y

    def bn(self, x, name):
        weight, bias, mean, variance = (self.w[f"{name}.{p}"][:, None, None]
                                        for p in ("weight", "bias", "running_mean", "running_var"))
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias

    def linear(self, x, name):
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]


def relu(x, most=np.inf):
    return np.clip(x, 0, most)


def maxpool(x, kernel, stride, pad):
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride].max((4, 5))


def adaptive(x, size):
    """torch.nn.AdaptiveAvgPool2d((size, size))."""
    def window(i, side):
        return slice(i * side // size, -(-(i + 1) * side // size))

    rows, columns = x.shape[2:]
    return np.array([[x[:, :, window(i, rows), window(j, columns)].mean((2, 3)) for j in range(size)]
                     for i in range(size)]).transpose(2, 3, 0, 1)


def vgg16(x, w):
    net, i, batch_norm = Forward(w), 0, "features.1.weight" in w
    for size in VGG_D:
        if size == "M":
            x, i = maxpool(x, 2, 2, 0), i + 1
            continue
        x = net.conv(x, f"features.{i}", pad=1)
        if batch_norm:
            x = net.bn(x, f"features.{i + 1}")
        x, i = relu(x), i + (3 if batch_norm else 2)
    if w["classifier.0.weight"].shape[1] == 512 * 49:
        x = adaptive(x, 7)
    x = x.reshape(len(x), -1)
    for name in ("classifier.0", "classifier.3"):
        x = relu(net.linear(x, name))
    return net.linear(x, "classifier.6")


def resnet(architecture, x, w):
    net, (block, blocks, _) = Forward(w), RESNETS[architecture]
    large = w["conv1.weight"].shape[2] == 7
    x = relu(net.bn(net.conv(x, "conv1", 2 if large else 1, 3 if large else 1), "bn1"))
    if large:
        x = maxpool(x, 3, 2, 1)
    for stage, count in enumerate(blocks, 1):
        for i in range(count):
            name, stride, identity = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1, x
            if block == "basic":
                y = relu(net.bn(net.conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
                y = net.bn(net.conv(y, f"{name}.conv2", 1, 1), f"{name}.bn2")
            else:
                y = relu(net.bn(net.conv(x, f"{name}.conv1"), f"{name}.bn1"))
                y = relu(net.bn(net.conv(y, f"{name}.conv2", stride, 1), f"{name}.bn2"))
                y = net.bn(net.conv(y, f"{name}.conv3"), f"{name}.bn3")
            if f"{name}.downsample.0.weight" in w:
                identity = net.bn(net.conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            elif y.shape != x.shape:  # He et al., option A
                more = (y.shape[1] - x.shape[1]) // 2
                identity = np.pad(x[:, :, ::2, ::2], ((0, 0), (more, more), (0, 0), (0, 0)))
            x = relu(y + identity)
    return net.linear(x.mean((2, 3)), "fc")


def mobilenetv2(x, w, large):
    net, k, channels = Forward(w), 0, 32
    x = relu(net.bn(net.conv(x, "features.0.0", 2 if large else 1, 1), "features.0.1"), 6)
    for t, c, n, s in MOBILENET:
        for i in range(n):
            k, y, j = k + 1, x, 0
            stride = (s if large or c != 24 else 1) if i == 0 else 1
            if t != 1:
                y, j = relu(net.bn(net.conv(y, f"features.{k}.conv.0.0"), f"features.{k}.conv.0.1"), 6), 1
            y = net.conv(y, f"features.{k}.conv.{j}.0", stride, 1, depthwise=True)
            y = net.conv(relu(net.bn(y, f"features.{k}.conv.{j}.1"), 6), f"features.{k}.conv.{j + 1}")
            y = net.bn(y, f"features.{k}.conv.{j + 2}")
            x, channels = x + y if stride == 1 and channels == c else y, c
    x = relu(net.bn(net.conv(x, "features.18.0"), "features.18.1"), 6)
    return net.linear(x.mean((2, 3)), "classifier.1")
