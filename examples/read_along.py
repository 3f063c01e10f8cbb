"""CBNet from the first pen stroke to the last table, to be read from top to bottom beside the paper.

    python -m examples.read_along [--out DIR]

The functions come in the order of the paper's section III; `learn` and `use` at the end call them and leave a picture
of each step. Nothing is hidden in a training routine: the loops call the layers' forward and backward, the losses and
Adam. Where something differs from the paper, the lines say so.
Legend: N images, C channels, H W rows and columns, O classes, B images in a batch, D values of the code.
"""
import argparse
import sys
import time
from pathlib import Path

import numpy as np

from npcbnet import pictures
from npcbnet.cli import run_command
from npcbnet.data import digits
from npcbnet.data.augment import shifted
from npcbnet.exits import leaves
from npcbnet.losses import cross_entropy, l1_activity, log_softmax, mean_squared_error
from npcbnet.nets import CBNet, Converter, ConverterConfig, branchynet_lenet, lightweight
from npcbnet.nets.images import as_floats
from npcbnet.optim import Adam, cosine

CLASSES = tuple("0123456789")
BATCH = 64
L1 = 1e-7  # the paper's coefficient, written 10e-8 (CBNet, III-A3)


def batches(count, epochs, rng):
    """(epoch, share of the run that is over, rows of the batch) of every batch; each epoch has an order of its own."""
    steps = -(-count // BATCH)
    for epoch in range(epochs):
        order = rng.permutation(count)
        for step in range(steps):
            yield epoch, (epoch + step / steps) / epochs, order[step * BATCH:(step + 1) * BATCH]


def history(losses):
    """[(epoch, loss of a batch), ...] -> the mean loss of every epoch, as pictures.loss_curves takes it."""
    epoch, loss = np.array(losses).T
    return [{"epoch": int(e) + 1, "loss": float(loss[epoch == e].mean())} for e in np.unique(epoch)]


def train_branchynet(images, labels, epochs, rng):
    """BranchyNet (CBNet, II-B; Teerapittayanon et al., 2016): one stem, two heads that both answer, trained at once.

                 +-> branch -> exit 1, cheap
        stem ----+
                 +-> trunk  -> exit 2, good
    """
    net, adam, losses = branchynet_lenet(images.shape[1:], CLASSES, rng), Adam(), []
    for epoch, over, rows in batches(len(images), epochs, rng):
        x = as_floats(shifted(images[rows], 1, rng))  # (B, C, H, W), 0..1; a digit moved by a pixel is the same digit
        shared, stem_backward = net.stem.forward(x, train=True)
        early, branch_backward = net.branch.forward(shared, train=True)  # logits (B, O)
        late, trunk_backward = net.trunk.forward(shared, train=True)

        # The joint loss is the plain sum of both exits' cross-entropies (in their code all weights are 1).
        early_loss, dearly = cross_entropy(early, labels[rows])
        late_loss, dlate = cross_entropy(late, labels[rows])

        # Backward: both heads read the same maps, so the stem's gradient is the sum of what they send back.
        from_branch, branch_grads = branch_backward(dearly)
        from_trunk, trunk_grads = trunk_backward(dlate)
        _, stem_grads = stem_backward(from_branch + from_trunk, need_dx=False)

        parts = {"stem": stem_grads, "branch": branch_grads, "trunk": trunk_grads}
        grads = {f"{part}.{name}": gradient for part, own in parts.items() for name, gradient in own.items()}
        adam.learning_rate = 2e-3 * cosine(over, 1)
        adam.update(net.params, grads)
        losses.append((epoch, early_loss + late_loss))
    return net, history(losses)


def entropy_of(logits):
    """-sum p ln p over the classes, p = softmax(logits): (N, O) -> (N,) in nats (BranchyNet; CBNet, II-B).

    0 is certain, ln 10 = 2.30 is no idea.
    """
    log_p = log_softmax(logits)
    return -(np.exp(log_p) * log_p).sum(axis=1)


def choose_threshold(net, images, labels):
    """The largest T of a few at which leaving early costs no accuracy, on images that training did not see.

    The paper's T for MNIST, 0.05, was "tuned to achieve the maximum performance" (CBNet, IV-B1). Other data, other T.
    """
    early, late = net.both_exits(images)
    right_early, right_late = early.argmax(axis=1) == labels, late.argmax(axis=1) == labels
    for threshold in (2, 1, 0.5, 0.25, 0.1, 0.05, 0.025, 0.01):
        right = np.where(leaves(entropy_of(early), threshold), right_early, right_late)
        if right.mean() >= right_late.mean():
            return threshold
    return 0.005


def split(net, images, labels):
    """Entropy (N,) at exit 1, and which images are easy (N,) bool: they leave there with the right answer.

    The paper (III-A2) calls all that leave there easy; but one with a wrong answer looks like another class.
    """
    early, _ = net.both_exits(images)
    entropy = entropy_of(early)
    return entropy, leaves(entropy, net.threshold) & (early.argmax(axis=1) == labels)


def choose_prototypes(images, labels, entropy, easy):
    """One easy image of each class, (O, C, H, W) in 0..1: the target of all images of that class.

    The paper (III-A2) draws a random easy image for each input. The least squared error is then that of the mean of all
    easy ones, a blur that the classifier may misread. CAE-Net takes the one of lowest entropy, and so does this.
    """
    best = [np.where(easy & (labels == label), entropy, np.inf).argmin() for label in range(len(CLASSES))]
    return np.array(as_floats(images[best]))


def train_converter(images, labels, prototypes, epochs, rng):
    """The converting autoencoder (CBNet, III-A2, III-A3): all images, easy and hard, go in; an easy one shall come out.

    Three hidden layers as in Table I, the third is the code. Working on 14x14 pixels saves nine tenths of the MACs.
    The output is clipped to 0..1; Table I has a softmax, whose 784 outputs sum to 1, which no picture's pixels do.
    """
    form = ConverterConfig((256, 128, 32), ("relu", "relu", "linear"), halve_input=True, halve_output=True)
    net, adam, losses = Converter(form, images.shape[1:]).initialise(rng), Adam(), []
    for epoch, over, rows in batches(len(images), epochs, rng):
        raw, code, backward = net.forward(as_floats(shifted(images[rows], 1, rng)), train=True)
        # raw (B, C, H, W): the picture; code (B, D): the encoder's output. Only the input is shifted, never the target.
        error, draw = mean_squared_error(raw, prototypes[labels[rows]])
        penalty, dcode = l1_activity(code, L1)  # "activity regularization" (III-A3)
        adam.learning_rate = 2e-3 * cosine(over, 1)
        adam.update(net.params, backward(draw, dcode))
        losses.append((epoch, error + penalty))
    return net, history(losses)


def report(models, branchynet, images, labels):
    """What each model is worth on test images. CBNet has to beat the row above: its own classifier, no converter."""
    hard = branchynet.explain(images).exit == 2
    print(f"\n{'':34} {'accuracy':>9} {'on hard':>9} {'MACs':>10}")
    for name, model in models.items():
        right = model.predict(images) == labels
        macs = model.macs((~hard).mean()) if model is branchynet else model.macs()
        print(f"{name:34} {right.mean():9.2%} {right[hard].mean():9.2%} {macs:10,}")
    print(f"{len(labels)} test images, {hard.sum()} of them hard: BranchyNet keeps them to its second exit.\n"
          "MACs: multiply-adds for one image, for BranchyNet the mean.")


def layer_by_layer(net, shape):
    """Names of a network's layers, with the shape of one image before the first and after each."""
    _, *after = net.shapes(shape)
    return f"{tuple(shape)} " + " ".join(f"> {type(layer).__name__} {out}" for layer, out in zip(net, after))


def learn(images, labels, held, rng, step, out):
    """Steps 2 to 5, done once. held: (images, labels) to choose T on. Returns what `use` takes."""
    shape = images.shape[1:]
    net, losses = train_branchynet(images, labels, 12, rng)
    pictures.loss_curves(out / "2-branchynet.png", {"BranchyNet": losses})
    step("2. BranchyNet, both exits at once (CBNet, II-B)",
         "stem:   " + layer_by_layer(net.stem, shape),
         "branch: " + layer_by_layer(net.branch, net.stem.output_shape(shape)),
         "trunk:  " + layer_by_layer(net.trunk, net.stem.output_shape(shape)),
         f"loss {losses[0]['loss']:.3f}, in the end {losses[-1]['loss']:.3f}")

    net.threshold = choose_threshold(net, *held)
    entropy, easy = split(net, images, labels)
    extremes = np.argsort(entropy)[np.r_[:20, -20:0]]
    pictures.image_grid(out / "3-easy-and-hard.png", images[extremes], [f"{h:.2g}" for h in entropy[extremes]])
    step("3. Easy or hard, by the entropy at exit 1 (CBNet, III-A2)",
         f"entropy {entropy.shape} in nats, T = {net.threshold}",
         f"easy {easy.shape}: {easy.sum()} training images; the picture shows the 20 surest and the 20 least sure")

    prototypes = choose_prototypes(images, labels, entropy, easy)
    pictures.image_grid(out / "4-prototypes.png", prototypes, list(CLASSES))
    step("4. What to convert to: one easy image a class (CBNet, III-A2)",
         f"prototypes {prototypes.shape} {prototypes.dtype}, read as {lightweight(net).predict(prototypes)}")

    converter, losses = train_converter(images, labels, prototypes, 20, rng)
    pictures.loss_curves(out / "5-converter.png", {"converting autoencoder": losses})
    step("5. The converting autoencoder (CBNet, III-A2, III-A3, Table I)",
         "encoder: " + layer_by_layer(converter.encoder, shape),
         "decoder: " + layer_by_layer(converter.decoder, converter.encoder.output_shape(shape)),
         f"loss {losses[0]['loss']:.4f}, in the end {losses[-1]['loss']:.4f}")
    return net, prototypes, converter


def use(net, prototypes, converter, images, labels, step, out):
    """Steps 6 to 8, what a device does with each image that comes, and what comes of it."""
    light = lightweight(net)
    converted = converter.convert(images)
    hard = np.flatnonzero(net.explain(images).exit == 2)[:12]
    titles = [f"a {label}, read {read}" for label, read in zip(labels[hard], light.predict(converted[hard]))]
    targets = prototypes[labels[hard]]
    pictures.conversion_strips(out / "6-conversion.png", images[hard], converted[hard], targets, titles)
    step("6. Conversion of images never seen before (CBNet, III-A)",
         f"converted {converted.shape} {converted.dtype} in 0..1")

    before, after = (entropy_of(net.both_exits(x)[0]) for x in (images, converted))
    pictures.exit_histogram(out / "7-exits.png", before, after, net.threshold)
    step("7. Has hard become easy? (CBNet, III-A1)",
         f"below T at exit 1: {leaves(before, net.threshold).mean():.1%} of the images as they came",
         f"                   {leaves(after, net.threshold).mean():.1%} of the converted images")

    step("8. The lightweight DNN, stem and branch, reads what was converted (CBNet, III-B)",
         layer_by_layer(light.net, images.shape[1:]))
    report({"BranchyNet with its exits": net, "lightweight DNN, no converter": light, "CBNet": CBNet(converter, light)},
           net, images, labels)


def main(out):
    """All steps in their order."""
    started, rng = time.perf_counter(), np.random.default_rng(0)

    def step(title, *made):
        print(f"\n[{time.perf_counter() - started:4.1f} s] {title}", *made, sep="\n    ", flush=True)

    images, labels = digits.generate(6000, seed=1)  # to train on
    held = digits.generate(1000, seed=2)  # to choose T on
    test = digits.generate(2000, seed=40)  # to judge by, looked at once
    pictures.image_grid(out / "1-digits.png", images[:40], [str(label) for label in labels[:40]])
    step("1. Data, drawn on the spot, in place of MNIST (CBNet, IV-B2)",
         f"images {images.shape} {images.dtype}, labels {labels.shape}")
    use(*learn(images, labels, held, rng, step, out), *test, step, out)
    print(f"\nThe pictures are in {out}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.read_along", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default="runs/read_along", help="folder of the pictures (%(default)s)")
    options = parser.parse_args()
    sys.exit(run_command(lambda: main(options.out)))
