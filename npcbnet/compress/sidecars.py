"""The files that a search leaves beside its checkpoint, so that it goes on where it was stopped."""
import glob
import zlib
from pathlib import Path


class Sidecars:
    """Paths beside `checkpoint` (None: no files) whose names hold a number made of `marks`, any values that decide what
    is searched: another search does not find them. What a search found carries them as `files`; the caller clears them
    once the model is saved, so that until then nothing that was trained is lost."""

    def __init__(self, checkpoint, *marks):
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.mark = f"{zlib.crc32(repr(marks).encode()):08x}"

    def path(self, what, suffix=".npz", model=None):
        """The path for something, None without a checkpoint; of a model, by the shapes of its parameters, too."""
        if self.checkpoint is None:
            return None
        shapes = "" if model is None else f"-{zlib.crc32(repr(sorted(model.param_shapes().items())).encode()):08x}"
        name = f"{self.checkpoint.stem}-{self.mark}-{what.replace(' ', '-')}{shapes}{suffix}"
        return self.checkpoint.with_name(name)

    def __str__(self):
        """Their paths, as a pattern to read."""
        return "" if self.checkpoint is None else str(self.path("*", ""))

    def clear(self):
        """Remove all of them."""
        for path in [] if self.checkpoint is None else self.checkpoint.parent.glob(
                f"{glob.escape(self.checkpoint.stem)}-{self.mark}-*"):
            path.unlink()
