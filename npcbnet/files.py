"""Files: writing so that nothing is ever half there (a temporary sibling, flushed, then renamed), reading our notes."""
import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path

from npcbnet.errors import TrainingError, UsageError


@contextmanager
def atomic_write(path, mode="wb"):
    """Open a temporary sibling of `path`; rename it to `path` when the block ends well, remove it when it does not.

    A reader, a kill -9 or a full disk therefore sees the old file or the new one, never a part. A symbolic link stays,
    its file is replaced. Raises UsageError naming the path where it cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            raise UsageError(f"cannot write {path}: it is a folder or a device; choose another path")
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.with_name(f"{path.name}.{os.urandom(6).hex()}.partial")
        handle = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
        temporary = name
        with os.fdopen(handle, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot write {path}: {reason}; free some space or choose another path") from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.remove(temporary)


def write_text(path, text):
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_write(path, "w") as file:
        file.write(text)


def read_note(path, again, fits=None):
    """The dict that a JSON file of ours holds, from which a run goes on.

    again: what is done anew without the file, "train" or "measure"; fits: a function of a value, False for one that
    cannot be there. Raises TrainingError, one line, where the file is damaged.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(found, dict) or fits and not all(map(fits, found.values())):
            raise ValueError("it holds something else")
        return found
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"{path} is damaged ({' '.join(str(error).split())[:100]}); remove it to {again} "
                            "anew") from None


class _Abandoned(Exception):
    """Ends a block of atomic_write without a file."""


def check_file(path):
    """Raise UsageError, before any work is done, unless `path` can be written; what is there stays as it is.

    Makes its folder if need be.
    """
    with suppress(_Abandoned), atomic_write(path):
        raise _Abandoned


def check_folder(folder):
    """Raise UsageError, before any work is done, unless files can be written into a folder; makes it if need be."""
    trial = Path(folder) / f"trial.{os.urandom(6).hex()}"
    write_text(trial, "")
    trial.unlink()
