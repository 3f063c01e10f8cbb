"""Where a published data set's files lie on this machine, and how they get there.

They are looked for in $NPCBNET_DATA/<name>/, then in the cache folder ($XDG_CACHE_HOME/npcbnet/<name>/ or
~/.cache/npcbnet/<name>/); what is in neither is downloaded into the cache.
"""
import http.client
import os
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from npcbnet.errors import DataError, UsageError
from npcbnet.files import atomic_write

TIMEOUT_S = 10  # per connection and per read; with two places to try, an unreachable network is known within 20 s
_CHUNK = 1 << 16


def folders(name):
    """Where files may lie: [($NPCBNET_DATA/name), (cache/name)], each only if it can be known."""
    found = [Path(os.environ["NPCBNET_DATA"], name)] if os.environ.get("NPCBNET_DATA") else []
    own = cache(name)
    return found + ([own] if own else [])


def cache(name):
    """The cache folder of a data set, or None where the user has no home folder."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the XDG Base Directory Specification has relative paths ignored
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return Path(base, "npcbnet", name)


def cache_for(name, files):
    """As `cache`, for downloads; DataError where there is none."""
    folder = cache(name)
    if folder is None:
        raise absent(name, files, "there is no home folder to download them to")
    return folder


def absent(name, files, why):
    """The DataError, one line, for files (their names) that are neither on disk nor to be had."""
    known = folders(name)
    place = known[0] if known else f"a folder {name}/ and name its parent in NPCBNET_DATA"
    also = "" if os.environ.get("NPCBNET_DATA") else f" (or set NPCBNET_DATA to a folder that has {name}/ inside)"
    return DataError(f"{name}: missing {', '.join(files)}, and {why}; put them into {place}{also if known else ''}, or "
                     "run `python -m npcbnet.train digits`, which needs no files")


def first_served(name, files, urls, get):
    """get(url) of the first of `urls` for which it raises no DataError; if there is none, DataError for `files`."""
    reasons = []
    for url in urls:
        try:
            return get(url)
        except DataError as error:
            reasons.append(f"{url.split('/')[2]}: {error}")
    raise absent(name, files, f"the download failed ({'; '.join(dict.fromkeys(reasons))})")


def fetch(url, limit):
    """Yield what `url` serves, piece by piece, `limit` bytes at most; progress on a terminal. Raises DataError."""
    from tqdm import tqdm
    done = 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            with tqdm(total=total, desc=url.rsplit("/", 1)[-1], unit="B", unit_scale=True, leave=False,
                      disable=not sys.stderr or not sys.stderr.isatty()) as progress:
                while chunk := response.read(_CHUNK):
                    done += len(chunk)
                    if done > limit:
                        raise DataError(f"sent more than {limit:,} bytes")
                    progress.update(len(chunk))
                    yield chunk
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(str(getattr(reason, "strerror", None) or reason)) from error
    if total is not None and done != total:
        raise DataError(f"sent {done:,} of {total:,} bytes")


@contextmanager
def kept(path):
    """As `atomic_write`, for a download into the cache: DataError where the file cannot be written."""
    try:
        with atomic_write(path) as target:
            yield target
    except UsageError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise DataError(f"cannot keep the download as {path}: {reason}; free some space or set XDG_CACHE_HOME to a "
                        "folder that can be written") from error
