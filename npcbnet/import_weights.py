"""python -m npcbnet.import_weights ARCHITECTURE WEIGHTS: a model file from weights that torchvision or another trained.

WEIGHTS is an .npz with torchvision's names. Where PyTorch is, three lines of Python make it:

  import numpy, torchvision
  net = torchvision.models.mobilenet_v2(weights="DEFAULT")
  numpy.savez("weights.npz", **{name: array.numpy() for name, array in net.state_dict().items()})
"""
import argparse
import sys
from pathlib import Path

from npcbnet.cli import run_command

EXAMPLE = """examples:
  python -m npcbnet.import_weights mobilenetv2 weights.npz --out mobilenetv2.npz --size 224 \\
      --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
  python -m npcbnet.import_weights resnet32 cifar.npz --out resnet32.npz --class-names plane car bird cat deer dog \\
      frog horse ship truck"""


def parser():
    """The command's options."""
    from npcbnet.nets.torchvision_names import ARCHITECTURES
    p = argparse.ArgumentParser(prog="python -m npcbnet.import_weights", description=__doc__, epilog=EXAMPLE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("architecture", help=", ".join(ARCHITECTURES))
    p.add_argument("weights", type=Path, help="an .npz with the names of torchvision's state_dict")
    p.add_argument("--out", type=Path, required=True, metavar="FILE", help="the model file to write")
    p.add_argument("--size", type=int, default=32, help="rows and columns of the images (default: 32)")
    p.add_argument("--class-names", nargs="+", metavar="NAME", help="default: 0, 1, ...")
    p.add_argument("--mean", type=float, nargs="+", metavar="M", help="of each channel, subtracted from pixels in 0..1 "
                   "before the weights were trained on them (default: nothing was)")
    p.add_argument("--std", type=float, nargs="+", metavar="S", help="by which they were divided then (default: 1)")
    p.add_argument("--stem", help="cifar or imagenet: a mobilenetv2's strides (default: by the size)")
    p.add_argument("--dtype", default="float32", help="float32 or float16, half as large (default: float32)")
    return p


def main(arguments=None):
    """The command. Returns its exit status."""
    options = parser().parse_args(arguments)

    def go():
        import npcbnet
        from npcbnet.errors import UsageError
        from npcbnet.nets.torchvision_weights import load
        if options.size < 1:
            raise UsageError(f"--size must be at least 1, not {options.size}")
        model = load(options.architecture, options.weights, (3, options.size, options.size), options.class_names,
                     options.mean, options.std, options.stem)
        npcbnet.save(model, options.out, options.dtype)
        print(f"{options.out}: {options.architecture}, {model.classes} classes, {model.parameter_count():,} "
              f"parameters, {model.macs():,} multiply-adds; pixels in 0..1"
              + (" are normalised by its first layer" if options.mean or options.std else " go in as they are"))

    return run_command(go)


if __name__ == "__main__":
    sys.exit(main())
