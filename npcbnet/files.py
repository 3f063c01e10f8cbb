"""Writing files so that nothing is ever half there: a temporary sibling, flushed to disk, then renamed."""
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from npcbnet.errors import UsageError


@contextmanager
def atomic_write(path, mode="wb"):
    """Open a temporary sibling of `path`; rename it to `path` when the block ends well, remove it when it does not.

    A reader, a kill -9 or a full disk therefore sees the old file or the new one, never a part.
    Raises UsageError naming the path where it cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=".partial")
        with os.fdopen(handle, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot write {path}: {reason}; "
                         "free some space or choose another place with --out") from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.remove(temporary)


def _umask():
    """The process's file mode mask (mkstemp makes files private; a saved model should be as readable as any file)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path, text):
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_write(path, "w") as file:
        file.write(text)
