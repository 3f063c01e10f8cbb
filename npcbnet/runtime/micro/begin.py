"""Is there work behind an exit? The group at the head of its line becomes the group in hand: IDS and HERE.

A full group begins at once, a part of one when no image is left to begin with. Where nothing begins, the step returns
`jump`.

row: context, place of the line in the context, jump. fixed: group.
"""
from npcbnet.runtime import context
from npcbnet.runtime.assembler import NUMBER


def write(f, group):
    """The function's text."""
    ctx = f.pointer(0)
    line, jump = f.numbers(1, 2)
    counter = f.at(ctx, line, NUMBER)
    count, last = f.load(counter, 0, NUMBER), f.load(ctx, context.LAST, NUMBER)
    full = f.emit(f"icmp sge i64 {count.name}, {group}", "i1")
    rest = f.emit(f"and i1 {(count > 0).name}, {last.same(1).name}", "i1")
    ready = f.emit(f"or i1 {full.name}, {rest.name}", "i1")
    with f.when(ready):
        f.store(f.select(full, f.constant(group, NUMBER), count), f.at(ctx, context.HERE, NUMBER))
        ids, waiting = f.at(ctx, context.IDS, NUMBER), f.at(counter, context.WAITING_IDS, NUMBER)
        with f.loop(0, group) as i:
            f.store(f.load(waiting, i, NUMBER), ids, i)
    return f.finish(f.select(ready, f.constant(1, NUMBER), jump))
