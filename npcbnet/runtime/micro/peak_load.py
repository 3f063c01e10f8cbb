"""How fast can one core read memory? An array is read from end to end, again and again, as weights are.

    x   [ 0 | 1 | ... | 15 ][ 16 | 17 | ...         a turn: 16 vectors, one after the other
          +   +         +
        sum 0, 1, ... 7, 0, ... 7                   8 sums, so that adding never is what takes the time

Which memory that is follows from the array's size: the first-level cache, the second, ..., main memory. Not a step of
programs: it returns how many floats one turn reads.

row: x, y (room for one vector), floats in x (a multiple of a turn's), passes.
"""
SUMS, LOADS = 8, 16


def write(f):
    """The function's text."""
    x, y = f.pointers(0, 2)
    floats, passes = f.numbers(2, 2)
    with f.loop(0, passes, carried=[f.constant(0.0)] * SUMS) as outer:
        with f.loop(0, floats, step=LOADS * f.lanes, carried=outer.sums) as loop:
            here = f.at(x, loop.number)
            for i in range(LOADS):
                loop.sums[i % SUMS] = loop.sums[i % SUMS] + f.load(here, i * f.lanes)
        outer.sums[:] = loop.results
    for total in outer.results[1:]:
        outer.results[0] = outer.results[0] + total
    f.store(outer.results[0], y)
    return f.finish(LOADS * f.lanes)
