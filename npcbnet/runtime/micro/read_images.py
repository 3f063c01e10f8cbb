"""The caller's images become the first map: bytes to floats in 0..1, one image, or a group laid side by side.

    image 0   [ a0 a1 a2 ...]                 group of 4:   pixel 0 [ a0 b0 c0 d0 ]
    image 1   [ b0 b1 b2 ...]      ->                       pixel 1 [ a1 b1 c1 d1 ]
    ...                                                     ...

A group that is not full repeats its last image. Floats are looked at on the way: NaN and values outside 0..1 are noted
in the context, and the caller hears of it.

row: context, y, y's row and channel stride, C, H, W. fixed: vectors, in a group (0: one image); wide: W >= lanes.
"""
from npcbnet.runtime import context
from npcbnet.runtime.assembler import BYTE, FLOAT, NUMBER
from npcbnet.runtime.micro import vectors as v

PIXEL = 1 / 255


def write(f, vectors, wide):
    """The function's text."""
    ctx, y = f.pointers(0, 2)
    y_row, y_channel, C, H, W = f.numbers(2, 5)
    source = f.load(ctx, context.IMAGES, NUMBER)
    size = C * H * W
    first, here = f.load(ctx, context.FIRST, NUMBER), f.load(ctx, context.HERE, NUMBER)
    floats = f.load(ctx, context.IS_FLOAT, NUMBER)
    group = max(1, vectors * f.lanes)
    with f.loop(0, group) as i:
        last = here - 1
        f.store(first + f.select(i < last, i, last), f.at(ctx, context.IDS, NUMBER), i)
    for kind, said in ((BYTE, 0), (FLOAT, 1)):
        with f.when(floats.same(said)):
            base = f.emit(f"inttoptr i64 {source.name} to ptr", "ptr")
            with f.loop(0, C) as c:
                with f.loop(0, H) as h:
                    at = (c * H + h) * W
                    to = f.at(y, c * y_channel + h * y_row)
                    if vectors:
                        for u in range(vectors):
                            _group_row(f, ctx, base, kind, size, at, f.at(to, u * f.lanes), W, u, group, wide)
                    else:
                        _row(f, ctx, base, kind, f.load(ctx, context.IDS, NUMBER) * size + at, to, W)
    return f.finish()


def _row(f, ctx, base, kind, at, to, W):
    """One row of one image."""
    v.sweep(f, W, lambda i, type: f.store(_pixels(f, ctx, base, kind, at + i, type), to, i))


def _group_row(f, ctx, base, kind, size, at, to, W, u, group, wide):
    """One row of the images of vector u: squares of lanes x lanes pixels turned, or pixel by pixel in narrow images."""
    starts = [f.load(ctx, context.IDS + u * f.lanes + i, NUMBER) * size + at for i in range(f.lanes)]
    if not wide:
        with f.loop(0, W) as w:
            for i, start in enumerate(starts):
                f.store(_pixels(f, ctx, base, kind, start + w, FLOAT), to, w * group + i)
        return
    last = W - f.lanes
    with f.loop(0, W, step=f.lanes) as w:
        w = f.select(w < last, w, last)  # the last square overlaps the one before
        for j, column in enumerate(v.transpose(f, [_pixels(f, ctx, base, kind, start + w, f.vector)
                                                   for start in starts])):
            f.store(column, to, (w + j) * group)


def _pixels(f, ctx, base, kind, at, type):
    """Pixels from place `at` of the images on, as floats in 0..1."""
    if kind == BYTE:
        some = f.load(base, at, type.replace(FLOAT, BYTE), align=1)
        return f.cast("uitofp", some, type) * PIXEL
    pixels = f.load(base, at, type)
    # As whole numbers, the bits of 0..1 lie between those of 0 and 1; only -0 lies elsewhere, NaN does not.
    whole = v.whole_type(f, type)
    bits = f.cast("bitcast", pixels, whole)
    inside = f.emit(f"icmp ule {whole} {bits.name}, {f.operand(0x3F800000, whole)}", (bits < 0).type)
    good = inside | bits.same(-0x80000000)
    if type != FLOAT:
        good = f.call(f"llvm.vector.reduce.and.v{f.lanes}i1", "i1", good)
    with f.when(f.emit(f"xor i1 {good.name}, true", "i1")):
        f.store(f.constant(1, NUMBER), f.at(ctx, context.STRANGE, NUMBER))
    return pixels
