"""What training leaves behind after each epoch, so that a stop costs no more than one."""
import json
import zlib
from pathlib import Path

import numpy as np

from npcbnet.errors import TrainingError
from npcbnet.files import atomic_write


class Checkpoint:
    """The file at `path` for one stage of training: parameters, optimiser, history, and whose they are."""

    def __init__(self, path, stage, plan, images, task):
        self.path, self.task = Path(path), task
        shapes = {name: list(array.shape) for name, array in task.params.items()}
        identity = {"stage": stage, "plan": vars(plan), "images": zlib.crc32(np.ascontiguousarray(images)),
                    "shapes": shapes, "task": task.fingerprint()}
        self.identity = json.loads(json.dumps(identity))  # as it reads from a file

    def save(self, optimiser, history):
        """Write the state after an epoch, atomically. Raises UsageError where that is not possible."""
        arrays = {f"param.{name}": array for name, array in self.task.params.items()}
        arrays |= {f"optimiser.{name}": array for name, array in optimiser.state().items()}
        manifest = json.dumps({"identity": self.identity, "history": history})
        with atomic_write(self.path) as file:
            np.savez(file, manifest=np.array(manifest), **arrays)

    def restore(self, optimiser):
        """Put the state into task and optimiser; returns the history.

        Raises TrainingError where the file is damaged, before anything is changed, or belongs to another run.
        """
        try:
            with np.load(self.path, allow_pickle=False) as file:
                manifest = json.loads(str(file["manifest"]))
                arrays = {name: file[name] for name in file.files}
            theirs, history = manifest["identity"], manifest["history"]
            changed = [key for key, value in self.identity.items() if theirs.get(key) != value]
            params = {name: arrays[f"param.{name}"] for name in self.task.params} if not changed else {}
            if any(params[name].shape != self.task.params[name].shape for name in params):
                raise ValueError("arrays of other shapes")
            state = {name[len("optimiser."):]: array for name, array in arrays.items() if name.startswith("optimiser.")}
            if not changed:
                optimiser.restore(state)
        except Exception as error:  # whatever zipfile, zlib and json raise for damage
            reason = " ".join(str(error).split())[:100]
            raise TrainingError(f"checkpoint {self.path} is damaged ({type(error).__name__}: {reason}); "
                                "remove it to start this stage anew") from None
        if changed:
            raise TrainingError(f"checkpoint {self.path} is of a run with another {' and '.join(changed)}; "
                                "use that run's options and data, or another --out")
        for name, array in self.task.params.items():
            array[...] = params[name]
        return history
