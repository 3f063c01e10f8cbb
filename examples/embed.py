"""What a script on a Pi needs: load and compile a model once, give it images, get labels.

    python -m examples.embed
"""
import npcbnet
from npcbnet.data import digits

model = npcbnet.load("digits-cbnet")                # a pretrained name, or the path of a model file
predictor = npcbnet.compile(model)                  # machine code for this processor, kept on disk for the next start
images, truth = digits.generate(8, seed=5)          # yours come from a camera: uint8, (N, 1, 28, 28) or one (28, 28)
labels = predictor.predict(images)                  # (N,) int64
seen = predictor.explain(images)                    # label, confidence, entropy, exit, converted image of each
for label, confidence, right in zip(labels, seen.confidence, truth):
    print(f"read {model.class_names[label]} with {confidence:.0%} confidence; it was drawn as {right}")
