"""Asking a Raspberry Pi's firmware: its power rails, and whether it had to slow down."""
import re
import shutil
import subprocess

from npcbnet.errors import EnergyError

COMMAND = "vcgencmd"
LONGEST_S = 5

# Bits of get_throttled: now, and 16 further up whether it happened since the start (Raspberry Pi documentation).
BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_SINCE_START = 16


def present(command=None):
    """Is there such a command?"""
    return shutil.which(command or COMMAND) is not None


def ask(question, command=None):
    """What vcgencmd answers. Raises EnergyError in one line."""
    command = command or COMMAND
    try:
        done = subprocess.run([command, question], capture_output=True, text=True, timeout=LONGEST_S, errors="replace",
                              stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError as error:
        raise EnergyError(f"no {command} here: this is not a Raspberry Pi, or its tools are not installed") from error
    except subprocess.TimeoutExpired as error:
        raise EnergyError(f"{command} {question} did not answer within {LONGEST_S} s") from error
    except OSError as error:
        raise EnergyError(f"cannot run {command}: {error.strerror or error}") from error
    if done.returncode or not done.stdout.strip():
        said = " ".join((done.stderr or done.stdout).split())[:200]
        raise EnergyError(f"{command} {question} failed: {said or f'status {done.returncode}'}")
    return done.stdout


def throttled(command=None):
    """The bits of get_throttled, an int. Raises EnergyError."""
    answer = ask("get_throttled", command).strip()
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})", answer)
    if not found:
        raise EnergyError(f"{command or COMMAND} get_throttled says {answer[:60]!r}, not throttled=0x...")
    return int(found[1], 16)


def in_words(bits):
    """(what is so now, what was so at some time since the start), two lists of words."""
    return tuple([word for bit, word in BITS.items() if bits >> bit + up & 1] for up in (0, _SINCE_START))
