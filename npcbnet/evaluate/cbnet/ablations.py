"""What matters in a converter? One thing at a time is changed, all else stays: target rule, size, output, loss.

All converters of a study train equally long, and shorter than a run's own, so they compare among themselves; each is
kept in the run's folder as soon as it is judged. Nothing is chosen by these figures.
"""
import json
from dataclasses import replace

import numpy as np

from npcbnet import conversion, recipes, runtime
from npcbnet.evaluate.kept import kept_rows
from npcbnet.files import write_text
from npcbnet.nets import TABLE_I, CBNet, Converter, ConverterConfig
from npcbnet.progress import say
from npcbnet.training import fit, one_blas_thread

RELU2 = ("relu", "relu", "linear")


def studies(dataset):
    """{study: {variant: Recipe}} of the converters to train. The target rule and the loss vary in the recipe `fast`."""
    fast = replace(recipes.recipe("fast", dataset), fine_tune=0, clusters=1, ce=0.0)
    halves = {"halve_input": fast.form.halve_input, "halve_output": fast.form.halve_output}
    table1 = TABLE_I.get(recipes.family(dataset), TABLE_I["mnist"])
    sizes = {"Table I": replace(table1, output="linear"),
             "784-256-128-32-784": ConverterConfig((256, 128, 32), RELU2),
             "196-256-128-32-196": ConverterConfig((256, 128, 32), RELU2, **halves),
             "196-128-64-16-196": ConverterConfig((128, 64, 16), RELU2, **halves),
             "196-64-32-16-196": ConverterConfig((64, 32, 16), RELU2, **halves),
             "196-128-32-196, added to the image":
                 ConverterConfig((128, 32), ("relu", "linear"), residual=True, **halves)}
    pixels = int(np.prod(dataset.input_shape))
    if pixels != 784 or not all(halves.values()):  # the names above are those of 28 x 28 pixels
        sizes = {f"hidden {'-'.join(map(str, form.hidden))}{', added to the image' * form.residual}"
                 f"{', halved' * form.halve_input}": form for form in sizes.values()}
    return {
        "target rule": {**{rule.replace("-", " "): replace(fast, target=rule) for rule in conversion.RULES},
                        "lowest entropy of 4 clusters": replace(fast, clusters=4)},
        "converter size": {name: replace(fast, form=form, ce=0.1) for name, form in sizes.items()},
        "output layer": {output: replace(fast, form=replace(table1, output=output))
                         for output in ("softmax", "sigmoid", "linear")},
        "weight of the classifier's loss": {f"{ce:g}": replace(fast, ce=ce) for ce in (0.0, 0.1, 1.0)}}


def run(measured, epochs, quiet=False):
    """Rows of all studies for the models of a Measured; trains what its folder does not hold yet.

    epochs: of a data set as large as MNIST; smaller ones get more, for as many steps.
    """
    trained, rows = measured.trained, []
    epochs = recipes.scaled(epochs, trained.dataset) if not trained.stages.run.quick else epochs
    path = trained.folder / "ablations.json"
    kept = kept_rows(path)
    for study, variants in studies(trained.dataset).items():
        for variant, chosen in variants.items():
            key = f"{study}: {variant}"
            if key not in kept or kept[key]["epochs"] != epochs:
                say(f"ablation of {trained.folder.name}, {key}", quiet)
                with one_blas_thread():
                    kept[key] = {**_judged(measured, chosen, epochs), "epochs": epochs}
                write_text(path, json.dumps(kept, indent=2) + "\n")
            rows.append({"dataset": trained.dataset.name, "seed": trained.seed, "study": study, "variant": variant,
                         **kept[key]})
    return rows


def _judged(measured, chosen, epochs):
    """Train a converter as a Recipe says, for `epochs`, and judge it with the lightweight DNN behind it."""
    trained = measured.trained
    data, models, rng = trained.dataset, trained.models, np.random.default_rng([trained.seed, 4])
    train, branchynet, light = data.train, models["branchynet"], models["lightweight"]
    split = conversion.easy_and_hard(branchynet, train.images, train.labels)
    targets = conversion.Targets(chosen.target, train.images, train.labels, split, data.classes, rng, chosen.clusters)
    form = chosen.form
    if form.output == "softmax":
        form = replace(form, total=targets.mean_ink())
    converter = Converter(form, data.input_shape).initialise(rng)
    task = conversion.ConverterTask(converter, targets, light, mse=chosen.mse, l1=chosen.l1, ce=chosen.ce)
    fit(task, train.images, recipes.converter_plan(chosen, data, trained.seed, epochs), stage="ablation",
        threads=trained.stages.threads, quiet=True)
    model = CBNet(converter, light)
    answer = runtime.compile(model).explain(measured.test.images)
    easier = measured.predictors["branchynet"].explain(answer.converted).exit == 1
    return {**measured.shares(answer.label == measured.test.labels), "exit_rate_converted": float(easier.mean()),
            "macs": model.macs()}
