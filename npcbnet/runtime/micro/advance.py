"""The group that had begun is done with its line: the second waiting group moves to the head.

row: context, the line's maps, length of a map in floats of one image, place of the line in the context. fixed: group.
"""
from npcbnet.runtime import context
from npcbnet.runtime.assembler import NUMBER


def write(f, group):
    """The function's text."""
    ctx, waiting = f.pointers(0, 2)
    length, line = f.numbers(2, 2)
    counter = f.at(ctx, line, NUMBER)
    left = f.load(counter, 0, NUMBER) - f.load(ctx, context.HERE, NUMBER)
    f.store(left, counter)
    ids = f.at(counter, context.WAITING_IDS, NUMBER)
    with f.when(left > 0):
        with f.loop(0, left) as i:
            f.store(f.load(ids, i + group, NUMBER), ids, i)
        with f.loop(0, length * group, step=f.lanes) as i:
            f.store(f.load(waiting, length * group + i), waiting, i)
    return f.finish()
