"""Images that stay are moved together, so that the layers behind an exit run on full groups.

    group after exit 1     A . . D | . F . . | G . . J       (. has left)
    waiting                A D F G  ->  run  | J ...

Two groups may wait: what is left of the last, and all of this one. Called after an exit, and once more when no image
is left. Returns 1 when a full group (or the last of them) is ready at the head of the line, else `jump`.

row: context, x (what the layers behind the exit read), waiting (two such maps), length of the map in floats of one
image, jump. fixed: group.
"""
from npcbnet.runtime import context
from npcbnet.runtime.assembler import FLOAT, NUMBER


def write(f, group):
    """The function's text."""
    ctx, x, waiting = f.pointers(0, 3)
    length, jump = f.numbers(3, 2)
    last = f.load(ctx, context.LAST, NUMBER)
    with f.when(last.same(0)):
        stays = f.load(ctx, context.STAYS, NUMBER)
        with f.loop(0, group) as lane:
            bit = f.emit(f"lshr i64 {stays.name}, {lane.name}", NUMBER) & 1
            with f.when(bit.same(1)):
                count = f.load(ctx, context.WAITING, NUMBER)
                image = f.load(f.at(ctx, context.IDS, NUMBER), lane, NUMBER)
                f.store(image, f.at(ctx, context.WAITING_IDS, NUMBER), count)
                to = f.at(waiting, count // group * (length * group) + count % group)
                here = f.at(x, lane)
                with f.loop(0, length) as i:
                    f.store(f.load(here, i * group, FLOAT), to, i * group)
                f.store(count + 1, f.at(ctx, context.WAITING, NUMBER))
    count = f.load(ctx, context.WAITING, NUMBER)
    full = f.emit(f"icmp sge i64 {count.name}, {group}", "i1")
    some = f.emit(f"icmp sgt i64 {count.name}, 0", "i1")
    ready = f.emit(f"or i1 {full.name}, {f.emit(f'and i1 {some.name}, {last.same(1).name}', 'i1').name}", "i1")
    f.store(f.select(full, f.constant(group, NUMBER), count), f.at(ctx, context.HERE, NUMBER))
    return f.finish(f.select(ready, f.constant(1, NUMBER), jump))
