"""python -m npcbnet.predict MODEL IMAGE...: what does a trained model see in these image files?"""
import argparse
import json
import sys

from npcbnet.cli import run_command

EXAMPLE = """examples:
  python -m npcbnet.predict digits-cbnet scan.png
  python -m npcbnet.predict runs/mnist/cbnet.npz --invert paper-*.jpg --json"""


def parser():
    """The command's options."""
    p = argparse.ArgumentParser(prog="python -m npcbnet.predict", description=__doc__, epilog=EXAMPLE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", help="a pretrained name such as mnist-cbnet, or the path of a model file")
    p.add_argument("images", nargs="+",
                   help="image files of any size and format; they are brought to the model's input")
    p.add_argument("--invert", action="store_true",
                   help="the images are dark on light; the digits models know light on dark")
    p.add_argument("--json", action="store_true", help="print a JSON list instead of lines")
    return p


def main(arguments=None):
    """The command. Returns its exit status."""
    options = parser().parse_args(arguments)

    def go():
        import numpy as np
        import npcbnet
        from npcbnet.data.folder import read_image
        model = npcbnet.load(options.model)
        images = np.concatenate([read_image(path, model.input_shape) for path in options.images])
        answer = npcbnet.compile(model).explain(255 - images if options.invert else images)
        rows = [{"image": path, "label": model.class_names[label], "confidence": float(confidence),
                 "entropy": float(entropy), "exit": int(exit_taken)}
                for path, label, confidence, entropy, exit_taken in
                zip(options.images, answer.label, answer.confidence, answer.entropy, answer.exit)]
        if options.json:
            print(json.dumps(rows, indent=2))
        else:
            exits = len(getattr(model, "stages", ()))
            for row in rows:
                taken = f", exit {row['exit']} of {exits}" if exits else ""
                print(f"{row['image']}: {row['label']} ({row['confidence']:.1%}){taken}")

    return run_command(go)


if __name__ == "__main__":
    sys.exit(main())
