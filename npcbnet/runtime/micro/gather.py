"""Images that stay are moved to a line, so that the stage behind an exit runs on full groups.

    group after exit 1     A . . D | . F . . | G . . J       (. has left)
    line                   A D F G  ->  run  | J ...

Two groups may wait: what is left of the last, and all of this one. A whole group that meets no half one is copied as it
is.

row: context, x (what the stage behind the exit reads), the line's maps (two such, one behind the other), length of a
map in floats of one image, place of the line in the context. fixed: group.
"""
from npcbnet.runtime import context
from npcbnet.runtime.assembler import FLOAT, NUMBER


def write(f, group):
    """The function's text."""
    ctx, x, waiting = f.pointers(0, 3)
    length, line = f.numbers(3, 2)
    stays, counter = f.load(ctx, context.STAYS, NUMBER), f.at(ctx, line, NUMBER)
    count = f.load(counter, 0, NUMBER)
    ids, numbers = f.at(ctx, context.IDS, NUMBER), f.at(counter, context.WAITING_IDS, NUMBER)
    all_stay = f.emit(f"and i1 {stays.same((1 << group) - 1).name}, {(count % group).same(0).name}", "i1")
    some = f.emit(f"icmp ne i64 {stays.name}, 0", "i1")
    with f.when(all_stay):
        with f.loop(0, group) as i:
            f.store(f.load(ids, i, NUMBER), numbers, count + i)
        with f.loop(0, length * group, step=f.lanes) as i:
            f.store(f.load(x, i), waiting, count * length + i)
        f.store(count + group, counter)
    with f.when(f.select(all_stay, f.constant(0, "i1"), some)), f.loop(0, group) as lane:
        bit = f.emit(f"lshr i64 {stays.name}, {lane.name}", NUMBER) & 1
        with f.when(bit.same(1)):
            count = f.load(counter, 0, NUMBER)
            f.store(f.load(ids, lane, NUMBER), numbers, count)
            here, to = f.at(x, lane), f.at(waiting, count // group * (length * group) + count % group)
            with f.loop(0, length) as i:
                f.store(f.load(here, i * group, FLOAT), to, i * group)
            f.store(count + 1, counter)
    return f.finish()
