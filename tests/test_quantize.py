"""8-bit numbers: as computed by hand, back within a step, and nothing wraps round."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npcbnet.errors import ShapeError
from npcbnet.quantize import dequantize, dynamic_quantize, quantize

some = settings(max_examples=60, deadline=None)
numbers = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=30)


def by_hand(value, scale, zero_point, low, high):
    """Python's round takes ties to even, too."""
    return min(max(round(value / scale) + zero_point, low), high)


@given(numbers, st.sampled_from([0.25, 1.0, 3.5]), st.integers(0, 255))
@some
def test_quantize_value_by_value(values, scale, zero_point):
    for kind, zero in (np.uint8, zero_point), (np.int8, zero_point - 128):
        limits = np.iinfo(kind)
        q = quantize(np.array(values), scale, kind(zero))
        assert q.dtype == kind
        assert q.tolist() == [by_hand(value, scale, zero, limits.min, limits.max) for value in values]
        np.testing.assert_allclose(dequantize(q, scale, kind(zero)), [(int(v) - zero) * scale for v in q], rtol=1e-6)


def test_ties_go_to_the_even_number_before_the_zero_point_is_added():
    assert quantize(np.array([0.5, 1.5, 2.5, -0.5, -1.5]), 1.0, np.uint8(5)).tolist() == [5, 7, 7, 5, 3]


@given(numbers)
@some
def test_dynamic_quantization_comes_back_within_a_step(values):
    x = np.array(values, np.float32)
    q, scale, zero_point = dynamic_quantize(x)
    assert q.dtype == zero_point.dtype == np.uint8 and scale > 0
    back = dequantize(q, scale, zero_point)
    # The zero point is rounded, too, so that an end of the range may be half a step out of it.
    np.testing.assert_allclose(back, x, atol=float(scale) * 1.01, rtol=1e-5)
    assert (back[x == 0] == 0).all()


def test_dynamic_quantization_of_zeros_and_of_nothing():
    for x in np.zeros((2, 3)), np.zeros((0, 3)), np.full((1, 3), 1e-45):
        q, scale, zero_point = dynamic_quantize(x)
        assert q.shape == x.shape and not q.any() and (scale, zero_point) == (1, 0)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_one_scale_for_each_index_along_an_axis(axis):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 3, 3))
    scales, zeros = np.array([0.1, 0.5, 0.02], np.float32), np.array([7, 0, 200], np.uint8)
    q = quantize(x, scales, zeros, axis)
    for i in range(3):
        np.testing.assert_array_equal(q.take(i, axis), quantize(x.take(i, axis), scales[i], zeros[i]))
        np.testing.assert_array_equal(dequantize(q, scales, zeros, axis).take(i, axis),
                                      dequantize(q.take(i, axis), scales[i], zeros[i]))


def test_infinity_is_the_largest_number_of_8_bits():
    q = quantize(np.array([-np.inf, np.inf, 1e30]), 1.0, np.int8(3))
    assert q.tolist() == [-128, 127, 127] and math.isclose(dequantize(q, 1.0, np.int8(3))[0], -131)


@pytest.mark.parametrize("call", [
    lambda: quantize(np.array([np.nan]), 1.0, np.uint8(0)), lambda: quantize(np.ones(2), 0.0, np.uint8(0)),
    lambda: quantize(np.ones(2), -1.0, np.uint8(0)), lambda: quantize(np.ones(2), np.nan, np.uint8(0)),
    lambda: dynamic_quantize(np.array([np.nan, 1])), lambda: dynamic_quantize(np.array([np.inf, 1])),
    lambda: quantize(np.ones(2), 1.0, 0), lambda: quantize(np.ones(2), 1.0, np.int32(0)),
    lambda: quantize(np.ones((2, 3)), np.ones(2), np.uint8(0)), lambda: dequantize(np.ones(2, np.uint8), 1.0, 0.0),
    lambda: dequantize(np.ones((2, 3), np.uint8), np.ones(3), np.zeros(3, np.uint8), axis=0),
    lambda: dequantize(np.ones(3, np.uint8), np.ones(3), np.zeros(3, np.uint8), axis=1)])
def test_what_is_refused(call):
    with pytest.raises(ShapeError):
        call()
