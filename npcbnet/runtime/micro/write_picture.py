"""The converted images go to the caller's array, if there is one.

row: context, x, its row and channel stride, C, H, W. fixed: group.
"""
from npcbnet.runtime import context
from npcbnet.runtime.assembler import FLOAT, NUMBER
from npcbnet.runtime.micro import vectors


def write(f, group):
    """The function's text."""
    ctx, x = f.pointers(0, 2)
    x_row, x_channel, C, H, W = f.numbers(2, 5)
    address = f.load(ctx, context.PICTURE, NUMBER)
    with f.when(f.emit(f"icmp ne i64 {address.name}, 0", "i1")):
        pictures = f.emit(f"inttoptr i64 {address.name} to ptr", "ptr")
        with f.loop(0, f.load(ctx, context.HERE, NUMBER)) as lane:
            image = f.load(f.at(ctx, context.IDS, NUMBER), lane, NUMBER)
            with f.loop(0, C) as c:
                with f.loop(0, H) as h:
                    to, here = f.at(pictures, ((image * C + c) * H + h) * W), f.at(x, c * x_channel + h * x_row + lane)
                    if group == 1:
                        vectors.sweep(f, W, lambda w, type: f.store(f.load(here, w, type), to, w))
                    else:
                        with f.loop(0, W) as w:
                            f.store(f.load(here, w * group, FLOAT), to, w)
    return f.finish()
