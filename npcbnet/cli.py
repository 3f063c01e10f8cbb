"""What every command shares: one clear line and exit status 2 for a user's mistake, 130 for Ctrl-C, no traceback."""
import sys

from npcbnet.errors import NpcbnetError


def run_command(main, hint=None):
    """Call main(); turn the package's errors and Ctrl-C into a line on standard error and an exit status.

    hint: a function of no arguments that gives the line to print after Ctrl-C, or None.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without some letter must not end a run
    try:
        status = main() or 0
        sys.stdout.flush()
        return status
    except NpcbnetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped" + (f"; {hint()}" if hint else ""), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return 1
    except MemoryError:
        print("error: this machine has too little memory for that; use fewer or smaller images", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.strerror or error}; look where input and output come from and go to", file=sys.stderr)
        return 2
