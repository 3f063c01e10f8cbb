"""How many multiply-adds can one core do? A loop of nothing else, as a measure for all other kernels.

    sum 0 = sum 0 + a * b        no sum waits for another, each waits only for itself:
    sum 1 = sum 1 + a * b        as many side by side as there are registers beside a and b
    ...

With a = b = 1/2 there are no slow numbers on the way. Not a step of programs: it returns how many multiply-adds one
turn has.

row: ab (a, b), y (room for one vector), turns.
"""
SPARE = 4  # registers for a, b, and what the compiler wants


def write(f):
    """The function's text."""
    ab, y, turns = f.pointer(0), f.pointer(1), f.number(2)
    a, b = f.broadcast(ab, 0), f.broadcast(ab, 1)
    count = f.target.registers - SPARE
    with f.loop(0, turns, carried=[f.constant(float(i)) for i in range(count)]) as loop:
        loop.sums[:] = [f.fma(a, b, total) for total in loop.sums]
    for total in loop.results[1:]:  # every sum is wanted, or the compiler would leave it out
        loop.results[0] = loop.results[0] + total
    f.store(loop.results[0], y)
    return f.finish(count * f.lanes)
