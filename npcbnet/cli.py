"""What every command shares: one clear line and exit status 2 for a user's mistake, 130 for Ctrl-C, no traceback."""
import sys

from npcbnet.errors import NpcbnetError


def run_command(main, hint=None):
    """Call main(); turn the package's errors and Ctrl-C into a line on standard error and an exit status.

    hint: a function of no arguments that gives the line to print after Ctrl-C, or None.
    """
    try:
        return main() or 0
    except NpcbnetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped" + (f"; {hint()}" if hint else ""), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return 1
