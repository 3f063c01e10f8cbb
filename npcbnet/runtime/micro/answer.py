"""The end of a network, or an early exit: probabilities, entropy, label; who leaves, who goes on.

    p = softmax(z)      H = ln sum exp(z - max) - sum p (z - max)      label = the first of the largest

At an exit that is not the last, an image leaves if H < threshold (NaN never leaves). Bits of STAYS tell who goes on;
where nobody does, the step returns `jump`. (BranchyNet, section 3; CBNet, section II-B: entropy in nats.)

row: context, z, scratch (O rows of a group), O, number of this exit, threshold (address of a float), jump. fixed:
group, early (1: images that stay are not answered).
"""
from npcbnet.runtime import context
from npcbnet.runtime.assembler import FLOAT, NUMBER
from npcbnet.runtime.micro import vectors


def write(f, group, early):
    """The function's text. With a group of 1, `lanes` must be 1, too."""
    ctx, z, scratch = f.pointers(0, 3)
    O, number, threshold, jump = f.number(3), f.number(4), f.pointer(5), f.number(6)
    here = f.load(ctx, context.HERE, NUMBER)
    stays = f.constant(0, NUMBER)
    for u in range(0, group, f.lanes):
        zu, largest, label = _largest(f, f.at(z, u), O, group)
        entropy, scale = _shares(f, zu, largest, scratch, O)
        label = f.select(f.unordered(scale, scale), f.constant(0, label.type), label)
        lowest = f.load(threshold, 0, FLOAT)
        for lane in range(f.lanes):
            stays = _one(f, ctx, u + lane, here, number, O, early,
                         _lane(f, entropy, lane), _lane(f, label, lane), _lane(f, scale, lane),
                         f.at(scratch, lane), lowest, stays)
    f.store(stays, f.at(ctx, context.STAYS, NUMBER))
    return f.finish(f.select(stays.same(0), jump, f.constant(1, NUMBER)) if early else 1)


def _largest(f, z, O, group):
    """A function that loads logit o, the largest logit, and where it was first (a NaN counts as the largest)."""
    def zo(o):
        return f.load(z, o * group)

    whole = vectors.whole_type(f, f.vector)
    with f.loop(0, O, carried=[f.constant(float("-inf")), f.constant(0, whole)]) as loop:
        value, (most, where) = zo(loop.number), loop.sums
        truth = f.emit(f"fcmp ugt {f.vector} {value.name}, {most.name}", (value > most).type)
        first = f.emit(f"fcmp ord {f.vector} {most.name}, {most.name}", truth.type)
        truth = f.emit(f"and {truth.type} {truth.name}, {first.name}", truth.type)
        place = f.cast("trunc", loop.number, "i32")
        loop.sums[:] = [f.select(truth, value, most), f.select(truth, f.spread(place), where)]
    return zo, *loop.results


def _shares(f, zo, largest, scratch, O):
    """Write exp(z - max) into scratch; returns the entropy and 1 / the sum."""
    with f.loop(0, O, carried=[f.constant(0.0), f.constant(0.0)]) as loop:
        below = zo(loop.number) - largest
        share = vectors.exp(f, below)
        f.store(share, scratch, loop.number * f.lanes)
        below = f.greater(f.constant(vectors.SMALLEST), below)
        loop.sums[:] = [loop.sums[0] + share, f.fma(share, below, loop.sums[1])]
    total, weighted = loop.results
    scale = f.constant(1.0) / total
    entropy = vectors.log(f, total) - weighted * scale
    zero = f.constant(0.0)
    return f.greater(zero, entropy) + (largest - largest), scale


def _lane(f, value, lane):
    """One lane of a vector (or the value itself, where there is one lane)."""
    if f.lanes == 1:
        return value
    inner = value.type.split(" x ")[1][:-1]
    return f.emit(f"extractelement {value.type} {value.name}, i64 {lane}", inner)


def _one(f, ctx, lane, here, number, O, early, entropy, label, scale, shares, threshold, stays):
    """Answer image `lane` of the group, if there is one and it leaves; returns `stays` with its bit set if it stays."""
    def address(place):
        return f.emit(f"inttoptr i64 {f.load(ctx, place, NUMBER).name} to ptr", "ptr")

    there = here > lane
    leaves = there
    if early:
        low = f.emit(f"fcmp olt float {entropy.name}, {threshold.name}", "i1")
        leaves = f.emit(f"and i1 {there.name}, {low.name}", "i1")
        goes_on = f.emit(f"xor i1 {low.name}, true", "i1")
        goes_on = f.emit(f"and i1 {there.name}, {goes_on.name}", "i1")
        bit = f.select(goes_on, f.constant(1 << lane if lane < 63 else -(1 << 63), NUMBER), f.constant(0, NUMBER))
        stays = stays | bit
    image = f.load(f.at(ctx, context.IDS, NUMBER), lane, NUMBER)
    if early:
        with f.when(there):
            count = f.load(ctx, context.COUNT, NUMBER)
            f.store(entropy, address(context.EARLY), (number - 1) * count + image)
    with f.when(leaves):
        f.store(entropy, address(context.ENTROPY), image)
        f.store(f.cast("zext", label, NUMBER), address(context.LABEL), image)
        f.store(number, address(context.EXIT), image)
        p = f.at(address(context.P), image * O)
        with f.loop(0, O) as o:
            f.store(f.load(shares, o * f.lanes, FLOAT) * scale, p, o)
    return stays
