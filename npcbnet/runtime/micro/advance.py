"""Behind the layers after an exit: the second waiting group moves to the head of the line.

row: context, waiting, length of a map in floats of one image, back (how many rows back `gather` lies, as a negative
number). Returns `back` while the last images wait, else 0. fixed: group.
"""
from npcbnet.runtime import context
from npcbnet.runtime.assembler import NUMBER


def write(f, group):
    """The function's text."""
    ctx, waiting = f.pointers(0, 2)
    length, back = f.numbers(2, 2)
    done = f.load(ctx, context.HERE, NUMBER)
    left = f.load(ctx, context.WAITING, NUMBER) - done
    f.store(left, f.at(ctx, context.WAITING, NUMBER))
    ids = f.at(ctx, context.WAITING_IDS, NUMBER)
    with f.when(left > 0):
        with f.loop(0, left) as i:
            f.store(f.load(ids, i + group, NUMBER), ids, i)
        with f.loop(0, length * group, step=f.lanes) as i:
            f.store(f.load(waiting, length * group + i), waiting, i)
    last = f.load(ctx, context.LAST, NUMBER)
    go_on = f.emit(f"and i1 {(left > 0).name}, {last.same(1).name}", "i1")
    return f.finish(f.select(go_on, back, f.constant(0, NUMBER)))
