"""What every benchmark does with its result: the command as typed, the machine, a JSON file and a table beside it."""
import argparse
import json
import shlex
import sys
from pathlib import Path

from npcbnet import machine
from npcbnet.files import check_file, write_text


def stamp(name):
    """{"command", "machine"} of a benchmark's result; name: the benchmark's module."""
    return {"command": shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]]), "machine": machine.describe()}


def made_by(result):
    """The line under a table: which command made it, where and when."""
    return f"Made by `{result['command']}` on {machine.in_words(result['machine'])}, {result['machine']['date'][:10]}."


def add_option(parser):
    """The option --json."""
    parser.add_argument("--json", type=writable,
                        help="file to write; a table goes into the .md of the same name beside it")


def writable(text):
    """An option's value as a Path. Raises UsageError, before anything is measured, where it cannot be written."""
    check_file(text)
    return Path(text)


def whole_number(text):
    """An option's value, at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return number


def keep(path, result, table=None):
    """Write result to `path` (nothing where that is None), and the table, if there is one, to the .md beside it."""
    if path is not None:
        write_text(path, json.dumps(result, indent=2) + "\n")
        if table is not None:
            write_text(path.with_suffix(".md"), table)
