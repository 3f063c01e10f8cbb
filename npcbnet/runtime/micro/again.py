"""The end of a program with lines: once no image is left to begin with, what still waits has its turn.

row: context, back (how many rows back the first line's `begin` lies, as a negative number), how many lines. Returns
`back` as long as any image waits then, else 0.
"""
from npcbnet.runtime import context
from npcbnet.runtime.assembler import NUMBER


def write(f):
    """The function's text."""
    ctx, back, lines = f.pointer(0), f.number(1), f.number(2)
    last, nothing = f.load(ctx, context.LAST, NUMBER).same(1), f.constant(0, NUMBER)
    with f.loop(0, lines, carried=[nothing]) as loop:
        waiting = f.load(ctx, loop.number * context.LINE + context.LINES, NUMBER)
        loop.sums[:] = [loop.sums[0] + waiting]
    goes_back = f.emit(f"and i1 {(loop.results[0] > 0).name}, {last.name}", "i1")
    return f.finish(f.select(goes_back, back, nothing))
