"""The engine's assembler, a piece at a time: what is written in Python does in machine code what it says."""
import dataclasses

import numpy as np
import pytest

from tests.runtime_models import needs_engine

pytestmark = needs_engine

LANES = [1, 4, 8, 16]
every_width = pytest.mark.parametrize("lanes", LANES)


def run(write, *operands, lanes=4):
    """Write a function with `write(f)`, compile it, call it with arrays and whole numbers; its result.

    write returns the whole number to return, None for 1.
    """
    from npcbnet.runtime import library
    from npcbnet.runtime.assembler import Function
    from npcbnet.runtime.target import host
    target = dataclasses.replace(host(), lanes=lanes)
    f = Function("tested", lanes, target)
    result = write(f)
    llvm = library._llvm()
    module = llvm.parse_assembly(f.finish(1 if result is None else result))
    module.verify()
    engine = llvm.create_mcjit_compiler(module, library._machine(target))
    engine.finalize_object()
    row = np.array([operand.ctypes.data if isinstance(operand, np.ndarray) else operand for operand in operands] + [0],
                   np.int64)
    return library.KERNEL(engine.get_function_address("tested"))(row.ctypes.data)


def apply(write, *arrays, lanes):
    """y = write(f, x0, x1, ...) on vectors of float32 arrays, all of one length, a multiple of lanes."""
    y = np.full_like(arrays[0], 99)

    def body(f):
        *inputs, out = f.pointers(0, len(arrays) + 1)
        with f.loop(0, f.number(len(arrays) + 1), step=lanes) as i:
            f.store(write(f, *[f.load(x, i) for x in inputs]), out, i)

    run(body, *arrays, y, len(y), lanes=lanes)
    return y


@pytest.mark.parametrize("a, b", [(7, 3), (-7, 2), (0, 5), (2 ** 40, 3)])
def test_whole_numbers(a, b):
    cases = [(lambda x, y: x + y, a + b), (lambda x, y: x - y, a - b), (lambda x, y: x * y, a * b),
             (lambda x, y: x + 5, a + 5), (lambda x, y: 5 + x, a + 5), (lambda x, y: 5 - x, 5 - a),
             (lambda x, y: x * 1 + 0, a), (lambda x, y: 3 * x, 3 * a), (lambda x, y: x - 0, a),
             (lambda x, y: x & 6, a & 6), (lambda x, y: x | y, a | b),
             (lambda x, y: x // y, abs(a) // b * (1 if a >= 0 else -1)), (lambda x, y: x % y, a - int(a / b) * b)]
    for write, expected in cases:
        assert run(lambda f, write=write: write(*f.numbers(0, 2)), a, b) == expected
    for truth, expected in [(lambda x, y: x < y, a < b), (lambda x, y: x > y, a > b), (lambda x, y: x <= y, a <= b),
                            (lambda x, y: x >= y, a >= b), (lambda x, y: x.same(y), a == b),
                            (lambda x, y: x.same(a), True)]:
        def write(f, truth=truth):
            x, y = f.numbers(0, 2)
            return f.select(truth(x, y), f.constant(1, "i64"), f.constant(0, "i64"))
        assert run(write, a, b) == expected


@every_width
def test_floats(lanes):
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 3, (2, 32)).astype(np.float32)
    cases = [(lambda f, x, y: x + y, a + b), (lambda f, x, y: x * y, a * b), (lambda f, x, y: x - y, a - b),
             (lambda f, x, y: x / y, a / b), (lambda f, x, y: 1.0 - x, 1 - a),
             (lambda f, x, y: x * 0.1, a * np.float32(.1)),
             (lambda f, x, y: x + 0.5, a + np.float32(0.5)), (lambda f, x, y: 2.5 * x, a * np.float32(2.5)),
             (lambda f, x, y: f.greater(x, y), np.maximum(a, b)), (lambda f, x, y: f.smaller(x, y), np.minimum(a, b)),
             (lambda f, x, y: f.select(x < y, x, y), np.minimum(a, b)),
             (lambda f, x, y: f.select(x >= 0.0, x, y), np.where(a >= 0, a, b)),
             (lambda f, x, y: f.constant(float("inf")) + x, np.full(32, np.inf)), (lambda f, x, y: f.constant(0.1), .1)]
    for write, expected in cases:
        np.testing.assert_array_equal(apply(write, a, b, lanes=lanes), np.float32(expected) + np.zeros(32, np.float32))
    fused = apply(lambda f, x, y: f.fma(x, y, x), a, b, lanes=lanes)
    np.testing.assert_allclose(fused, a.astype(np.float64) * b + a, rtol=0, atol=1e-6)


@every_width
def test_nan_in_comparisons_and_clamp(lanes):
    from npcbnet.runtime.micro.vectors import clamp
    x = np.tile(np.array([-np.inf, -2, -0.0, 0, 0.5, 3, np.inf, np.nan], np.float32), 2)

    def clamped(low, high):
        return apply(lambda f, x: clamp(f, x, f.constant(low), f.constant(high)), x, lanes=lanes)

    np.testing.assert_array_equal(clamped(0.0, 1.0), np.clip(x, 0, 1))
    np.testing.assert_array_equal(clamped(0.0, np.inf), np.maximum(x, 0))
    np.testing.assert_array_equal(clamped(-np.inf, np.inf), x)
    np.testing.assert_array_equal(clamped(-1.0, 0.25), np.clip(x, -1, np.float32(0.25)))
    greater = apply(lambda f, x: f.greater(f.constant(0.25), x), x, lanes=lanes)
    np.testing.assert_array_equal(greater, np.maximum(x, np.float32(0.25)))  # a NaN in the second comes through
    smaller = apply(lambda f, x: f.smaller(f.constant(0.25), x), x, lanes=lanes)
    np.testing.assert_array_equal(smaller, np.minimum(x, np.float32(0.25)))
    for truth in (lambda x: x < 9.0, lambda x: x > -9.0, lambda x: x.same(x), lambda x: x <= 9.0, lambda x: x >= -9.0):
        chosen = apply(lambda f, x, truth=truth: f.select(truth(x), f.constant(1.0), f.constant(0.0)), x, lanes=lanes)
        assert chosen[7] == chosen[15] == 0  # a comparison with NaN never holds


@pytest.mark.parametrize("start, stop, step", [(0, 10, 1), (3, 10, 1), (0, 10, 3), (0, 9, 3), (5, 5, 1), (7, 2, 1),
                                               (-4, 4, 2), (0, 0, 16), (0, -3, 1)])
def test_a_loop_carries_values_also_when_it_never_runs(start, stop, step):
    def write(f):
        out, first, last, initial = f.pointer(0), f.number(1), f.number(2), f.number(3)
        with f.loop(first, last, step=step, carried=[initial, f.constant(100, "i64")]) as loop:
            total, other = loop.sums
            loop.sums[:] = [total + loop.number, other - 1]
        f.store(loop.results[1], out)
        return loop.results[0]

    turns, out = range(start, stop, step), np.zeros(1, np.int64)
    assert run(write, out, start, stop, 7) == 7 + sum(turns)
    assert out[0] == 100 - len(turns)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_nested_loops_whose_bounds_are_known_at_run_time_alone(n):
    def write(f):
        last, zero = f.number(0), f.constant(0, "i64")
        with f.loop(0, last, carried=[zero, zero]) as outer:
            with f.loop(0, outer.number, carried=outer.sums) as inner:  # never runs in the first turn
                total, count = inner.sums
                with f.loop(0, 3, carried=[total]) as known:
                    known.sums[0] = known.sums[0] + inner.number
                inner.sums[:] = [known.results[0], count + 1]
            outer.sums[:] = [inner.results[0], inner.results[1] + 100]
        return outer.results[0] * 100000 + outer.results[1]

    total, count = sum(3 * j for i in range(n) for j in range(i)), n * (n - 1) // 2 + 100 * n
    assert run(write, n) == total * 100000 + count


def test_a_loop_known_to_be_empty_is_an_error_where_it_is_written():
    with pytest.raises(ValueError, match="never runs"):
        run(lambda f: f.loop(3, 3).__enter__() and None)


@every_width
def test_loops_carry_vectors(lanes):
    x, y = np.random.default_rng(1).random((2, 5 * lanes), np.float32)

    def write(f):
        values, out = f.pointers(0, 2)
        with f.loop(0, f.number(2), step=lanes, carried=[f.constant(0.0), f.constant(-1.0)]) as loop:
            here = f.load(values, loop.number)
            loop.sums[:] = [loop.sums[0] + here, f.greater(loop.sums[1], here)]
        for i, value in enumerate(loop.results):
            f.store(value, out, i * lanes)

    for turns in (0, 1, 5):
        run(write, x, y, turns * lanes, lanes=lanes)
        rows = x[:turns * lanes].reshape(turns, lanes)
        np.testing.assert_allclose(y[:lanes], rows.sum(axis=0), rtol=1e-6)
        np.testing.assert_array_equal(y[lanes:2 * lanes], rows.max(axis=0, initial=-1))


def test_when_runs_where_it_should_inside_loops_and_around_them():
    out = np.zeros(12, np.int64)

    def write(f):
        to, last = f.pointer(0), f.number(1)
        with f.when(last > 3):
            with f.loop(0, last, carried=[f.constant(0, "i64")]) as loop:
                with f.when((loop.number % 3).same(0)):
                    with f.when(loop.number > 0):
                        f.store(loop.number, to, loop.number)
                loop.sums[0] = loop.sums[0] + 2
            f.store(loop.results[0], to, 11)
        with f.when(last < 0):
            f.store(f.constant(-1, "i64"), to)

    run(write, out, 3)
    assert not out.any()
    run(write, out, 10)
    assert out.tolist() == [0, 0, 0, 3, 0, 0, 6, 0, 0, 9, 0, 20]


@pytest.mark.parametrize("lanes", LANES[1:])
def test_shuffles_transposes_and_spreading(lanes):
    from npcbnet.runtime.micro.vectors import transpose
    x = np.arange(lanes * lanes, dtype=np.float32)
    y = np.zeros_like(x)

    def turn(f):
        values, out = f.pointers(0, 2)
        for i, row in enumerate(transpose(f, [f.load(values, i * lanes) for i in range(lanes)])):
            f.store(row, out, i * lanes)

    run(turn, x, y, lanes=lanes)
    np.testing.assert_array_equal(y.reshape(lanes, lanes), x.reshape(lanes, lanes).T)

    def mix(f):
        values, out = f.pointers(0, 2)
        a, b = f.load(values), f.load(values, lanes)
        f.store(f.shuffle(a, b, range(0, 2 * lanes, 2)), out)
        f.store(f.shuffle(a, b, [2 * lanes - 1 - lane for lane in range(lanes)]), out, lanes)
        f.store(f.shuffle(a, b, [None] * (lanes - 1) + [lanes + 2]), out, 2 * lanes)
        f.store(f.broadcast(values, 5), out, 3 * lanes)

    run(mix, x, y, lanes=lanes)
    np.testing.assert_array_equal(y[:2 * lanes], [*range(0, 2 * lanes, 2), *range(2 * lanes - 1, lanes - 1, -1)])
    assert y[3 * lanes - 1] == lanes + 2 and (y[3 * lanes:4 * lanes] == 5).all()


@every_width
def test_sweeps_reach_every_place_and_none_beyond(lanes):
    from npcbnet.runtime.micro.vectors import sweep
    x = np.random.default_rng(2).random(64, np.float32)

    def write(f):
        values, out = f.pointers(0, 2)
        sweep(f, f.number(2), lambda i, type: f.store(f.load(values, i, type) * 2.0, out, i))

    for length in (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 40):
        y = np.full(64, -1, np.float32)
        run(write, x, y, length, lanes=lanes)
        np.testing.assert_array_equal(y[:length], 2 * x[:length])
        assert (y[length:] == -1).all()


def test_types_that_do_not_fit_are_refused():
    with pytest.raises(TypeError, match="where i64 is needed"):
        run(lambda f: f.number(0) + f.constant(1.0))
    with pytest.raises(TypeError, match="float"):
        run(lambda f: f.constant(1.0) * f.number(0))


@every_width
def test_exp_over_its_whole_range(lanes):
    from npcbnet.runtime.micro import vectors
    rng = np.random.default_rng(3)
    x = np.concatenate([np.linspace(-80, 80, 40001), rng.uniform(-1, 1, 20000), -rng.random(4000) * 1e-6,
                        np.arange(-115, 116) * np.log(2) / 2, [0, -0.0, -1e-40, 1e-40, -80, 80]])
    x = np.resize(x.astype(np.float32), -(-len(x) // 16) * 16)
    y, right = apply(vectors.exp, x, lanes=lanes), np.exp(x.astype(np.float64))
    assert np.abs(y / right - 1).max() < 2e-7
    assert (y[x == 0] == 1).all() and y.min() > np.finfo(np.float32).tiny
    low = np.resize(np.array([-81, -88, -104, -1e30, -np.inf], np.float32), 16)
    assert (apply(vectors.exp, low, lanes=lanes) == y[x == -80][0]).all()


@every_width
def test_exp_of_any_nan_is_nan(lanes):
    from npcbnet.runtime.micro import vectors
    bits = np.array([0x7FC00000, 0xFFC00000, 0x7FC00001, 0xFFFFFFFF, 0x7FC00100, 0x7FD55555, 0xFFC12345, 0x7FFFFFFE],
                    np.uint32)
    assert np.isnan(apply(vectors.exp, np.resize(bits.view(np.float32), 16), lanes=lanes)).all()


@every_width
def test_log_over_its_whole_range(lanes):
    from npcbnet.runtime.micro import vectors
    rng = np.random.default_rng(4)
    x = np.concatenate([np.linspace(1, 40, 20000), np.geomspace(1, 3e38, 20000), rng.random(20000) + 0.5,
                        np.geomspace(1.2e-38, 1, 4000),
                        [1, np.nextafter(np.float32(1), 2), 1.5, 2 ** 0.5, 2, 10, 1000]])
    x = np.resize(x.astype(np.float32), -(-len(x) // 16) * 16)
    y, right = apply(vectors.log, x, lanes=lanes), np.log(x.astype(np.float64))
    assert (np.abs(y - right) / np.maximum(1, np.abs(right))).max() < 1e-7
    assert (y[x == 1] == 0).all()
