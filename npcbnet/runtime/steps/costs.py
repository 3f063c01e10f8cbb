"""What a layer costs, so that the cheapest form of a convolution of one image can be taken, and of a batch's rest.

The unit is a multiply-add of a whole vector, idle lanes and all. Only shapes and the processor's registers count, so a
model is always compiled in the same way. The factors were found with AVX-512 (Zen 4). There is nothing to choose where
there is a 2x2 maximum in a convolution's end: Winograd's way takes it along, or else `plane`.
"""
import math

from npcbnet.runtime.micro import winograd
from npcbnet.runtime.micro.conv_outputs import columns, run_lengths, widths
from npcbnet.runtime.steps import packing
from npcbnet.runtime.target import tile

WAITING = 8  # multiply-adds that can be begun before the first of them is done
MOST = 4  # vectors of outputs that are summed side by side
PIXELS = {"arm": 4}  # registers for pixels that LLVM keeps ahead; x86 multiplies out of the cache
NARROW = 0.75  # a vector of half the lanes or fewer: some processors do two at once, others do not
LOAD = 0.1  # `outputs`: a pixel or a vector of weights, beside the multiply-adds
RUN = 1  # ... a run of places of one output, laid into its map
FINISH = 3  # `plane`: a vector of sums, read again, finished and laid into its map; for each step of the stride, 1 more
NEAR = 2 ** 15  # floats of weights or of a map that stay in a near cache from image to image
READ, WRITE = 1, 2.5  # `outputs`: a float of weights that comes, of a map that goes beyond
POINT = 10  # `winograd_one`: a point of a tile, there and back
GROUPED, GROUP_POINT = 1.25, 5  # a group: its maps lie in farther caches; a point of `winograd_group`, there and back
CACHED, MISSED = 2.5, 7  # `dense_one`: a vector of weights that a cache holds from image to image, one that none does
CACHE = 2 ** 20  # floats


def cheapest(target, operation, x, pad):
    """Of "winograd", "plane" and "outputs" the form that costs least, from the Map x to one in a frame of `pad`."""
    costs = {"plane": plane_cost(target, operation, x, pad), "outputs": outputs_tiles(target, operation)[1]}
    if winograd_can(operation):
        costs["winograd"] = winograd_cost(target, operation)
    return min(costs, key=costs.get)


def conv_cost(program, operation, x, pad, form):
    """Of a convolution, for one image or a group."""
    target, (F, C, K, _) = program.library.target, operation.weight.shape
    whole = operation.weight.size * math.prod(operation.behind)
    if form == "winograd_group":
        points = winograd.side(K) ** 2 * math.prod(winograd_tiles(operation))
        return GROUPED * points * (F * C + GROUP_POINT * (F + C))
    costs = {"group": lambda: GROUPED * whole, "depthwise": lambda: 2 * whole / target.lanes,
             "winograd": lambda: winograd_cost(target, operation),
             "plane": lambda: plane_cost(target, operation, x, pad), "outputs": lambda: outputs_tiles(target,
                                                                                                      operation)[1]}
    return costs[form]()


def dense_cost(program, weight):
    """Of a dense layer, weight (D, O), for one image or a group."""
    D, O = weight.shape
    if program.group > 1:
        return GROUPED * D * O
    return D * math.ceil(O / program.lanes) * (CACHED if weight.size <= CACHE else MISSED)


def least_group(one, group, lanes):
    """How many images a group needs to be faster than one by one; more than `lanes`: none does.

    one, group: costs of the two programs. Where nothing is known of one of them, half the lanes.
    """
    return max(2, math.ceil(group / one) if one and group else lanes // 2)


def winograd_can(operation):
    """Is there Winograd's way for it? Not on maps of hardly more than a tile, nor with few channels on both sides."""
    stride, _, groups = operation.window
    F, C, K, _ = operation.weight.shape
    return K in winograd.PAIRS and (stride, groups) == (1, 1) and min(operation.behind) >= 5 and F >= 4


def winograd_tiles(operation):
    """(rows, columns) of 4x4 tiles that cover the convolution's outputs."""
    return tuple(math.ceil(size / winograd.TILE) for size in operation.behind)


def winograd_is_wide(target, operation):
    """Are so few tiles and so many outputs in one image that the outputs are the better lanes for the products?"""
    return math.prod(winograd_tiles(operation)) <= 4 and len(operation.weight) >= 2 * target.lanes >= 8


def winograd_cost(target, operation):
    """Products at all points, and the way to the points and back for each map."""
    F, C, K, _ = operation.weight.shape
    points, vectors = winograd.side(K) ** 2, math.ceil(math.prod(winograd_tiles(operation)) / target.lanes)
    products = 4 * math.ceil(F / target.lanes) if winograd_is_wide(target, operation) else F * vectors
    return points * C * products + POINT * points * vectors * (C + F)


def plane_tiles(target, operation, x):
    """(outputs, vectors of places, tiles of places) of `conv_plane` on the framed Map x."""
    _, pad, groups = operation.window
    F, _, K, _ = operation.weight.shape
    sums = (operation.before[1] + 2 * pad - K + 1) * x.row
    outs, vectors = tile(target, math.ceil(sums / target.lanes), F // groups)
    outs = packing.even(F // groups, outs, divides=groups > 1)
    return outs, vectors, math.ceil(sums / (target.lanes * vectors))


def plane_is_direct(target, operation, x, pad):
    """Are the sums the result but for bias and clamp, and all of them wanted?"""
    stride, _, groups = operation.window
    _, vectors, places = plane_tiles(target, operation, x)
    _, rows, columns = operation.before
    return operation.weight.shape[2] == 1 and (stride, groups, x.pad, pad, operation.pool) == (1, 1, 0, 0, False) \
        and rows * columns == places * vectors * target.lanes


def plane_cost(target, operation, x, pad):
    """Sums with a stride of 1, their inputs loaded across the borders of cache lines; then what is wanted of them."""
    stride, _, groups = operation.window
    F, C, K, _ = operation.weight.shape
    outs, vectors, places = plane_tiles(target, operation, x)
    taps = math.ceil(F // groups / outs) * groups * C * K * K * vectors * places
    if plane_is_direct(target, operation, x, pad):
        return taps * outs
    P, Q = operation.behind
    return taps * (outs + 1) + F * P * math.ceil(Q / target.lanes) * (FINISH + stride)


def outputs_tiles(target, operation):
    """([(outputs in a tile, tiles, down, across), ...], cost): how `conv_outputs` does the outputs of each group."""
    groups = operation.window[2]
    F = len(operation.weight) // groups
    far = WRITE * max(0, F * groups * math.prod(operation.behind) - NEAR)  # many maps are written side by side
    best = None
    for vectors in range(1, MOST + 1):
        outs = vectors * target.lanes
        count, rest = divmod(F, outs)
        plan, total = [], far
        for size, many in ((outs, count), (rest, 1)):
            if size * many:
                down, across, cost = places_tile(target, operation, widths(target.lanes, size))
                plan.append((size, many, down, across))
                total += cost * many * groups
        if best is None or total < best[1]:
            best = plan, total
    return best


def places_tile(target, operation, parts):
    """(down, across, cost): the places to sum at once for vectors of these widths; sums and weights stay in registers.
    """
    stride, _, _ = operation.window
    _, C, K, _ = operation.weight.shape
    P, Q = operation.behind
    vectors, share = len(parts), 1 - (1 - NARROW) * (parts[-1] < target.lanes) / len(parts)
    weights = vectors * target.lanes * C * K * K * max(0, 1 - NEAR / operation.weight.size)  # that come from far
    best = None
    for across in range(1, min(Q, target.registers) + 1):
        runs, size = run_lengths(target.lanes, across)
        finish = across + runs * (size * math.log2(size) + RUN * target.lanes)
        for down in range(1, min(P, target.registers // across) + 1):
            sums = down * across * vectors
            if sums + K * vectors + PIXELS.get(target.family, 1) > target.registers and down * across > 1:
                break
            loads = K * vectors + down * len(columns(K, stride, across))
            row = max(sums, WAITING) * K * share + LOAD * loads + 1
            cost = math.ceil(P / down) * math.ceil(Q / across) * (C * K * row + down * vectors * finish)
            cost += weights * max(0, READ - down * across / target.lanes)
            if best is None or cost < best[2]:
                best = down, across, cost
    return best
