"""The end of a program with lines: once no image is left to begin with, what still waits has its turn.

row: context, back (how many rows back the first line's `begin` lies, as a negative number). Returns `back` then, else
0.
"""
from npcbnet.runtime import context
from npcbnet.runtime.assembler import NUMBER


def write(f):
    """The function's text."""
    ctx, back = f.pointer(0), f.number(1)
    last = f.load(ctx, context.LAST, NUMBER).same(1)
    return f.finish(f.select(last, back, f.constant(0, NUMBER)))
