"""CBNet from the first pen stroke to the last table, to be read from top to bottom beside the paper.

    python -m examples.read_along [--out DIR]

Each function is one step of the paper's section III and leaves one picture. Nothing is hidden in a training routine: the loops
call the layers' forward and backward, the losses and Adam. Where this differs from the paper, the line says so.
Legend: N images, C channels, H W rows and columns, O classes, B images in a batch, D values of the code.
"""
import argparse
import time
from pathlib import Path

import numpy as np

from npcbnet import pictures
from npcbnet.data import digits
from npcbnet.exits import leaves
from npcbnet.losses import cross_entropy, l1_activity, log_softmax, mean_squared_error
from npcbnet.nets import CBNet, Converter, ConverterConfig, branchynet_lenet, lightweight
from npcbnet.nets.images import as_floats
from npcbnet.optim import Adam, cosine

CLASSES = tuple("0123456789")
BATCH = 64
L1 = 1e-7  # the paper's coefficient, written 10e-8 (CBNet, III-A3)


def batches(count, epochs, rng):
    """(epoch, share of the whole run that is over, rows of one batch) over and over; every epoch has an order of its own."""
    steps = -(-count // BATCH)
    for epoch in range(epochs):
        order = rng.permutation(count)
        for step in range(steps):
            yield epoch, (epoch + step / steps) / epochs, order[step * BATCH:(step + 1) * BATCH]


def history(losses):
    """[(epoch, loss of a batch)] as pictures.loss_curves takes it: the mean of every epoch."""
    epochs = sorted({epoch for epoch, _ in losses})
    return [{"epoch": epoch + 1, "loss": float(np.mean([loss for e, loss in losses if e == epoch]))} for epoch in epochs]


def train_branchynet(images, labels, epochs, rng):
    """BranchyNet (CBNet, II-B; Teerapittayanon et al., 2016): one stem, two heads that both answer, trained at once.

                 +-> branch -> exit 1, cheap
        stem ----+
                 +-> trunk  -> exit 2, good
    """
    net, adam, losses = branchynet_lenet(images.shape[1:], CLASSES, rng), Adam(), []
    for epoch, over, rows in batches(len(images), epochs, rng):
        x = as_floats(images[rows])  # (B, C, H, W), uint8 -> 0..1
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
    """-sum p ln p over the classes, in nats: 0 is certain, ln 10 = 2.30 is no idea (BranchyNet's confidence). (N, O) -> (N,)"""
    log_p = log_softmax(logits)
    return -(np.exp(log_p) * log_p).sum(axis=1)


def choose_threshold(net, images, labels):
    """The largest T of a few at which leaving early costs no accuracy, on images that training did not see.

    The paper has 0.05 for MNIST, "tuned to achieve the maximum performance" (IV-B1); other data, other T.
    """
    early, late = net.both_exits(images)
    best = (late.argmax(axis=1) == labels).mean()
    for threshold in (2, 1, 0.5, 0.25, 0.1, 0.05, 0.025, 0.01):
        answer = np.where(leaves(entropy_of(early), threshold), early.argmax(axis=1), late.argmax(axis=1))
        if (answer == labels).mean() >= best:
            return threshold
    return 0.005


def split(net, images, labels):
    """Entropy (N,) at the first exit, and which images are easy (N,) bool: they leave there, and with the right answer.

    The paper (III-A2) calls all that leave early easy. One that leaves with a wrong answer would be a poor model for its class.
    """
    early, _ = net.both_exits(images)
    entropy = entropy_of(early)
    return entropy, leaves(entropy, net.threshold) & (early.argmax(axis=1) == labels)


def choose_prototypes(images, labels, entropy, easy):
    """One easy image of each class, (O, C, H, W) in 0..1: that of the lowest entropy, the target of all images of the class.

    The paper (III-A2) draws a random easy image for every input. The mean squared error is then smallest for the mean of all of
    them, a blur that the classifier may misread; CAE-Net, by the same authors, takes the one of lowest entropy.
    """
    best = [np.where(easy & (labels == label), entropy, np.inf).argmin() for label in range(len(CLASSES))]
    return np.array(as_floats(images[best]))


def train_converter(images, labels, prototypes, epochs, rng):
    """The converting autoencoder (CBNet, III-A2 and III-A3): every image, easy or hard, goes in; its class's easy image is the target.

    Three hidden layers as in Table I, smaller; the code is the third. The output is linear and clipped to 0..1: the softmax of Table I
    sums to 1, which no picture does.
    """
    form = ConverterConfig(hidden=(256, 128, 32), activations=("relu", "relu", "linear"), halve_input=True, halve_output=True)
    net, adam, losses = Converter(form, images.shape[1:]).initialise(rng), Adam(), []
    for epoch, over, rows in batches(len(images), epochs, rng):
        raw, code, backward = net.forward(as_floats(images[rows]), train=True)  # (B, C, H, W) and (B, D)
        error, draw = mean_squared_error(raw, prototypes[labels[rows]])
        penalty, dcode = l1_activity(code, L1)  # activity regularisation of the encoder's output
        adam.learning_rate = 2e-3 * cosine(over, 1)
        adam.update(net.params, backward(draw, dcode))
        losses.append((epoch, error + penalty))
    return net, history(losses)


def report(models, branchynet, images, labels):
    """What each model is worth on test images; the row without a converter is the one that CBNet has to beat."""
    exits = branchynet.explain(images).exit
    hard = exits == 2
    print(f"\n{'on ' + str(len(labels)) + ' test images':34} {'accuracy':>9} {'on hard':>9} {'MACs':>10}")
    for name, model in models.items():
        right = model.predict(images) == labels
        macs = model.macs(exit_rate=(~hard).mean()) if model is branchynet else model.macs()
        print(f"{name:34} {right.mean():9.2%} {right[hard].mean():9.2%} {macs:10,}")
    print(f"MACs are multiply-adds for one image; hard are the {hard.sum()} images that BranchyNet keeps to its second exit.")


def main(out):
    """All steps in their order, on digits drawn on the spot: 6,000 to train on, 1,000 to choose T on, 2,000 to judge by."""
    started, rng = time.perf_counter(), np.random.default_rng(0)

    def step(title, *made):
        print(f"\n[{time.perf_counter() - started:4.1f} s] {title}")
        for line in made:
            print(f"         {line}")

    images, labels = digits.generate(6000, seed=1)
    held, held_labels = digits.generate(1000, seed=2)
    test, test_labels = digits.generate(2000, seed=3)
    pictures.image_grid(out / "1-digits.png", images[:40], [str(label) for label in labels[:40]])
    step("1. Data (in place of MNIST; CBNet, IV-B2)", f"images {images.shape} {images.dtype}, labels {labels.shape}")

    net, losses = train_branchynet(images, labels, 15, rng)
    pictures.loss_curves(out / "2-branchynet.png", {"BranchyNet": losses})
    step("2. BranchyNet, both exits trained at once (CBNet, II-B)",
         *(f"{part}: {getattr(net, part)}" for part in net.parts), f"loss {losses[0]['loss']:.3f} -> {losses[-1]['loss']:.3f}")

    net.threshold = choose_threshold(net, held, held_labels)
    entropy, easy = split(net, images, labels)
    order = np.argsort(entropy)
    shown = np.concatenate([order[:20], order[-20:]])
    pictures.image_grid(out / "3-easy-and-hard.png", images[shown], [f"{h:.2g}" for h in entropy[shown]])
    step("3. Easy or hard, by the entropy of exit 1 (CBNet, III-A2)", f"entropy {entropy.shape} in nats, T = {net.threshold}",
         f"easy: {easy.sum()} of {len(easy)} training images; 3-easy-and-hard.png shows the surest and the least sure 20")

    prototypes = choose_prototypes(images, labels, entropy, easy)
    pictures.image_grid(out / "4-prototypes.png", prototypes, CLASSES)
    step("4. What to convert to, one easy image a class (CBNet, III-A2)", f"prototypes {prototypes.shape} {prototypes.dtype}")

    converter, losses = train_converter(images, labels, prototypes, 25, rng)
    pictures.loss_curves(out / "5-converter.png", {"converting autoencoder": losses})
    step("5. The converting autoencoder (CBNet, III-A2, III-A3, Table I)", f"encoder: {converter.encoder}",
         f"decoder: {converter.decoder}", f"loss {losses[0]['loss']:.4f} -> {losses[-1]['loss']:.4f}")

    after = converter.convert(test)
    hard = np.flatnonzero(net.explain(test).exit == 2)[:12]
    light = lightweight(net)
    titles = [f"a {true}, read {label}" for true, label in zip(test_labels[hard], light.predict(after[hard]))]
    pictures.conversion_strips(out / "6-conversion.png", test[hard], after[hard], prototypes[test_labels[hard]], titles)
    step("6. Conversion of images never seen (CBNet, III-A)", f"converted {after.shape} {after.dtype} in 0..1")

    entropies = [entropy_of(net.both_exits(x)[0]) for x in (test, after)]
    pictures.exit_histogram(out / "7-exits.png", *entropies, net.threshold)
    shares = [leaves(h, net.threshold).mean() for h in entropies]
    step("7. Has hard become easy? (CBNet, III-A1)", f"below T at exit 1: {shares[0]:.1%} before conversion, {shares[1]:.1%} after")

    step("8. The lightweight DNN, stem and branch, reads what was converted (CBNet, III-B)", f"net: {light.net}")
    report({"BranchyNet with exits": net, "lightweight DNN, no converter": light, "CBNet: converter, lightweight DNN":
            CBNet(converter, light)}, net, test, test_labels)
    print(f"The pictures are in {out}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.read_along", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/read_along"), help="folder for the pictures (default: %(default)s)")
    main(parser.parse_args().out)
