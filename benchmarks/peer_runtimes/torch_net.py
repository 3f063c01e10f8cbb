"""PyTorch: a Graph as a module of torch's own layers, run eagerly, traced and frozen (jit), or compiled (inductor)."""
import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from benchmarks.peer_runtimes.graph import mean_alpha, translation


def with_weights(module, weight, bias):
    """The module with copies of these arrays as its parameters."""
    module.weight, module.bias = (nn.Parameter(torch.from_numpy(np.array(array, np.float32)), requires_grad=False)
                                  for array in (weight, bias))
    return module


def conv2d(step):
    fields = step.fields
    module = nn.Conv2d(fields["in_channels"], fields["out_channels"], fields["kernel"], fields["stride"],
                       fields["pad"], groups=fields["groups"], device="meta")
    return with_weights(module, step.params["weight"], step.params["bias"])


def dense(step):
    module = nn.Linear(step.fields["in_features"], step.fields["out_features"], device="meta")
    return with_weights(module, step.params["weight"].T, step.params["bias"])


def maxpool2d(step):
    fields = step.fields
    return nn.MaxPool2d(fields["kernel"], fields["stride"], fields["pad"], ceil_mode=fields["ceil_mode"])


def avgpool2d(step):
    fields = step.fields
    return nn.AvgPool2d(fields["kernel"], fields["stride"], fields["pad"], fields["ceil_mode"], fields["count_pad"])


def localresponsenorm(step):
    fields = step.fields
    return nn.LocalResponseNorm(fields["size"], mean_alpha(step), fields["beta"], fields["k"])


MODULES = {  # step -> module
    "avgpool2d": avgpool2d,
    "conv2d": conv2d,
    "dense": dense,
    "flatten": lambda step: nn.Flatten(),
    "globalavgpool2d": lambda step: nn.AdaptiveAvgPool2d(1),
    "globalmaxpool2d": lambda step: nn.AdaptiveMaxPool2d(1),
    "leakyrelu": lambda step: nn.LeakyReLU(step.fields["slope"]),
    "localresponsenorm": localresponsenorm,
    "maxpool2d": maxpool2d,
    "relu": lambda step: nn.ReLU(),
    "relu6": lambda step: nn.ReLU6(),
    "reshape": lambda step: nn.Unflatten(1, step.shape),
    "sigmoid": lambda step: nn.Sigmoid(),
    "tanh": lambda step: nn.Tanh(),
    "upsample2d": lambda step: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
}


def brightest(call, step, x):
    return call(torch.div, (x, call(torch.amax, (x, (1, 2, 3), True))))


def softmax(call, step, x):
    y, total = call(functional.softmax, (x, 1)), step.fields["total"]
    return y if total == 1 else call(torch.mul, (y, total))


FUNCTIONS = {  # what is no module: (call(function, arguments) -> value, step, values) -> value
    "add": lambda call, step, x, y: call(torch.add, (x, y)),
    "brightest": brightest,
    "clip": lambda call, step, x: call(torch.clamp, (x, step.fields["low"], step.fields["high"])),
    "softmax": softmax,
}


def module(graph):
    """The Graph as straight-line code that calls torch's layers, each value freed after its last use."""
    root, code = nn.Module(), fx.Graph()
    values = [code.placeholder("x")]
    for number, step in enumerate(graph.steps):
        inputs = tuple(values[i] for i in step.inputs)
        if step.op in MODULES:
            root.add_module(f"{step.op}_{number}", MODULES[step.op](step))
            values.append(code.call_module(f"{step.op}_{number}", inputs))
        else:
            values.append(translation(FUNCTIONS, step, "PyTorch")(code.call_function, step, *inputs))
    code.output(tuple(values[i] for i in graph.outputs))
    return fx.GraphModule(root, code).eval()


class Torch:
    """how: "eager", "jit" or "inductor"."""

    def __init__(self, how, threads):
        torch.set_num_threads(threads)
        self.how = how

    def build(self, graph, images):
        """A function: x (images, ...) -> list of the graph's outputs."""
        net = module(graph)
        if self.how == "jit":
            with torch.inference_mode():
                net = torch.jit.trace(net, torch.zeros(images, *graph.input_shape))
                net = torch.jit.optimize_for_inference(torch.jit.freeze(net))
        elif self.how == "inductor":
            from torch._inductor import config
            config.freezing, config.compile_threads = True, 1  # weights are constants, as for the others
            net = torch.compile(net, dynamic=False)

        def run(x):
            with torch.inference_mode():
                return [y.numpy() for y in net(torch.from_numpy(x))]

        return run
