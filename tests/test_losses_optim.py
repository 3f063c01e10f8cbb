"""Losses and optimisers against the same formulas in plain Python numbers, and against finite differences."""
import io
import math

import numpy as np
import pytest

from npcbnet import losses
from npcbnet.layers import Dense, initialise
from npcbnet.optim import SCHEDULES, SGD, Adam

RNG = np.random.default_rng(0)
N, O = 7, 5
Z, OTHER = RNG.standard_normal((N, O)) * 3, RNG.standard_normal((N, O)) * 2
LABELS = RNG.integers(0, O, N)
IMAGES, TARGETS = RNG.standard_normal((N, 2, 3, 4)), RNG.standard_normal((N, 2, 3, 4))

LOSSES = {  # loss(prediction, second argument, count), and the two arguments for a batch of N
    "cross_entropy": (losses.cross_entropy, Z, LABELS),
    "mean_squared_error": (losses.mean_squared_error, IMAGES, TARGETS),
    "l1_activity": (lambda z, _, count=None: losses.l1_activity(z, 0.3, count), Z, LABELS),
    "distillation": (lambda z, teacher, count=None: losses.distillation(z, teacher, 3.0, count), Z, OTHER),
    "distillation, cold": (lambda z, teacher, count=None: losses.distillation(z, teacher, 0.7, count), Z, OTHER),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


def softmax(row, temperature=1.0):
    powers = [math.exp(value / temperature) for value in row]
    return [power / math.fsum(powers) for power in powers]


def test_cross_entropy_is_the_mean_of_minus_ln_p_of_the_label():
    expected = sum(-math.log(softmax(row)[label]) for row, label in zip(Z, LABELS)) / N
    assert losses.cross_entropy(Z, LABELS)[0] == pytest.approx(expected, rel=1e-12)


def test_mean_squared_error_is_the_mean_over_images_and_values():
    expected = sum((y - t) ** 2 for y, t in zip(IMAGES.ravel(), TARGETS.ravel())) / IMAGES.size
    assert losses.mean_squared_error(IMAGES, TARGETS)[0] == pytest.approx(expected, rel=1e-12)


def test_l1_activity_is_the_mean_over_images_of_the_sum_over_values():
    expected = 0.3 * sum(abs(value) for value in Z.ravel()) / N
    assert losses.l1_activity(Z, 0.3)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_distillation_is_the_mean_divergence_from_the_teacher_times_the_temperature_squared(temperature):
    expected = 0.0
    for row, teacher in zip(Z, OTHER):
        p, q = softmax(row, temperature), softmax(teacher, temperature)
        expected += temperature ** 2 * sum(b * math.log(b / a) for a, b in zip(p, q)) / N
    assert losses.distillation(Z, OTHER, temperature)[0] == pytest.approx(expected, rel=1e-12)


def test_a_perfect_prediction_costs_nothing():
    assert losses.mean_squared_error(IMAGES, IMAGES)[0] == 0
    loss, gradient = losses.distillation(Z, Z, 3.0)
    assert loss == pytest.approx(0, abs=1e-15) and np.abs(gradient).max() < 1e-15
    assert losses.cross_entropy(np.eye(O) * 100, np.arange(O))[0] == pytest.approx(0, abs=1e-15)


def test_ignorance_costs_ln_of_the_number_of_classes():
    assert losses.cross_entropy(np.full((3, 10), 7.0), np.array([0, 4, 9]))[0] == pytest.approx(math.log(10))


@every_loss
def test_gradient_against_finite_differences(name):
    loss, z, other = LOSSES[name]
    _, gradient = loss(z, other)
    assert gradient.shape == z.shape
    for place in np.ndindex(z.shape):
        step = np.zeros(z.shape)
        step[place] = 1e-6
        numeric = (loss(z + step, other)[0] - loss(z - step, other)[0]) / 2e-6
        assert gradient[place] == pytest.approx(numeric, abs=1e-8, rel=1e-6)


@every_loss
def test_shards_add_up_to_the_batch(name):
    loss, z, other = LOSSES[name]
    whole, gradient = loss(z, other)
    shards = [loss(z[part], other[part], count=N) for part in (slice(0, 3), slice(3, 4), slice(4, N))]
    assert sum(shard for shard, _ in shards) == pytest.approx(whole, rel=1e-12)
    np.testing.assert_allclose(np.concatenate([part for _, part in shards]), gradient, rtol=1e-12)


@every_loss
def test_an_empty_shard_costs_nothing(name):
    loss, z, other = LOSSES[name]
    cost, gradient = loss(z[:0], other[:0], count=N)
    assert cost == 0 and gradient.shape == (0, *z.shape[1:])


@every_loss
def test_float32_stays_float32_and_close(name):
    loss, z, other = LOSSES[name]
    narrow = other.astype(np.float32) if other.dtype == np.float64 else other
    cost, gradient = loss(z.astype(np.float32), narrow)
    assert gradient.dtype == np.float32
    assert cost == pytest.approx(loss(z, other)[0], rel=1e-5)
    np.testing.assert_allclose(gradient, loss(z, other)[1], atol=1e-6)


@every_loss
def test_arguments_stay_as_they_were_and_nan_shows(name):
    loss, z, other = LOSSES[name]
    before, z = z.copy(), z.copy()
    loss(z, other)
    np.testing.assert_array_equal(z, before)
    z[3].flat[1] = np.nan
    assert math.isnan(loss(z, other)[0])


def test_huge_logits_overflow_nowhere():
    z = np.array([[1e4, -1e4, 0]], np.float32)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert losses.cross_entropy(z, np.array([1]))[0] == pytest.approx(2e4)
        np.testing.assert_allclose(losses.cross_entropy(z, np.array([1]))[1], [[1, -1, 0]])
        assert losses.distillation(z, z, 2.0)[0] == 0


def adam_by_hand(theta, gradients, alpha, beta1, beta2, epsilon, fold):
    """Algorithm 1 of Kingma and Ba for one number; fold: the form at the end of their section 2."""
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        if fold:
            theta -= alpha * math.sqrt(1 - beta2 ** t) / (1 - beta1 ** t) * m / (math.sqrt(v) + epsilon)
        else:
            theta -= alpha * m / (1 - beta1 ** t) / (math.sqrt(v / (1 - beta2 ** t)) + epsilon)
    return theta


GRADIENTS = [[0.5, -2.0, 1e-5], [0.25, 1.0, -3e-5], [-0.125, 4.0, 0.0], [3.0, 0.0, 1e-9]]
START = [1.0, -2.0, 0.5]


def trained(optimiser, gradients=GRADIENTS, start=START, dtype=np.float64):
    params = {"weight": np.array(start, dtype)}
    for gradient in gradients:
        optimiser.update(params, {"weight": np.array(gradient, dtype)})
    return params["weight"]


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-13), (np.float32, 1e-6)])
@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("epsilon", [1e-8, 1e-3])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_adam_by_hand(steps, epsilon, fold, dtype, tolerance):
    result = trained(Adam(0.1, 0.8, 0.95, epsilon, fold), GRADIENTS[:steps], dtype=dtype)
    expected = [adam_by_hand(theta, column, 0.1, 0.8, 0.95, epsilon, fold)
                for theta, column in zip(START, zip(*GRADIENTS[:steps]))]
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


def test_adam_s_first_step_is_the_learning_rate_whatever_the_gradient():
    result = trained(Adam(learning_rate=0.01), [[1e-3, -50.0, 7.0]])
    np.testing.assert_allclose(result - START, [-0.01, 0.01, -0.01], rtol=1e-4)


def test_where_epsilon_stands_makes_the_difference_it_should():
    """With gradients as small as epsilon the folded form divides by more: its sqrt(v) is small, its epsilon is not."""
    plain, folded = (trained(Adam(1.0, epsilon=1e-8, fold_epsilon=fold), [[1e-8]], [0.0])[0] for fold in (False, True))
    assert plain == pytest.approx(-0.5)
    assert folded == pytest.approx(-math.sqrt(0.001) / (math.sqrt(0.001) + 1))


def sgd_by_hand(theta, gradients, rate, momentum, nesterov):
    u = 0.0
    for g in gradients:
        u = momentum * u + g
        theta -= rate * (g + momentum * u) if nesterov else rate * u
    return theta


@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_by_hand(momentum, nesterov):
    expected = [sgd_by_hand(theta, column, 0.1, momentum, nesterov) for theta, column in zip(START, zip(*GRADIENTS))]
    np.testing.assert_allclose(trained(SGD(0.1, momentum, nesterov)), expected, rtol=1e-13)


OPTIMISERS = {"adam": Adam, "adam, folded": lambda: Adam(fold_epsilon=True), "sgd": SGD,
              "nesterov": lambda: SGD(nesterov=True)}
every_optimiser = pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)


def run(optimiser, params, first, last):
    for step in range(first, last):
        rng = np.random.default_rng(step)
        optimiser.update(params, {name: rng.standard_normal(array.shape, np.float32) for name, array in params.items()})


def fresh():
    return {"0.weight": np.ones((4, 3), np.float32), "0.bias": np.zeros(3, np.float32), "m.odd": np.ones(2, np.float32)}


@every_optimiser
def test_a_restored_optimiser_goes_on_to_the_same_bits(make):
    straight, optimiser = fresh(), make()
    run(optimiser, straight, 0, 9)
    params, optimiser = fresh(), make()
    run(optimiser, params, 0, 4)
    file = io.BytesIO()
    np.savez(file, **optimiser.state())
    file.seek(0)
    resumed = make()
    with np.load(file, allow_pickle=False) as state:
        resumed.restore(dict(state))
    run(resumed, params, 4, 9)
    for name, array in straight.items():
        np.testing.assert_array_equal(params[name], array)


@every_optimiser
def test_the_state_is_a_copy(make):
    optimiser, params = make(), fresh()
    run(optimiser, params, 0, 2)
    state = optimiser.state()
    before = {name: array.copy() for name, array in state.items()}
    run(optimiser, params, 2, 4)
    assert before and all(np.array_equal(before[name], array) for name, array in state.items())
    after = {name: array.copy() for name, array in optimiser.state().items()}
    for array in optimiser.state().values():
        array[...] = 99
    assert all(np.array_equal(after[name], array) for name, array in optimiser.state().items())


@every_optimiser
def test_restored_moments_are_copies(make):
    optimiser, other = make(), make()
    run(optimiser, fresh(), 0, 2)
    other.restore(optimiser.state())
    before = {name: array.copy() for name, array in optimiser.state().items()}
    run(other, fresh(), 2, 4)
    assert all(np.array_equal(before[name], array) for name, array in optimiser.state().items())


@every_optimiser
def test_parameters_change_in_place_and_keep_their_type(make):
    params = fresh()
    arrays = dict(params)
    run(make(), params, 0, 3)
    for name, array in fresh().items():
        assert params[name] is arrays[name] and params[name].dtype == np.float32
        assert not np.array_equal(params[name], array)


@every_optimiser
def test_memory_order_does_not_matter(make):
    straight, turned = {"w": np.ones((4, 3), np.float32)}, {"w": np.ones((4, 3), np.float32, order="F")}
    optimiser, other = make(), make()
    for seed in range(3):
        gradient = np.random.default_rng(seed).standard_normal((4, 3), np.float32)
        optimiser.update(straight, {"w": gradient})
        other.update(turned, {"w": np.asfortranarray(gradient)})
    np.testing.assert_allclose(turned["w"], straight["w"], rtol=1e-6)


@every_optimiser
def test_training_a_dense_layer_finds_the_line(make):
    rng = np.random.default_rng(1)
    layer, optimiser = initialise(Dense(3, 2), rng, dtype=np.float64), make()
    optimiser.learning_rate = 0.05
    x, wanted = rng.standard_normal((64, 3)), rng.standard_normal((3, 2))
    for _ in range(300):
        y, backward = layer.forward(x, train=True)
        optimiser.update(layer.params, backward(losses.mean_squared_error(y, x @ wanted + 1)[1])[1])
    np.testing.assert_allclose(layer.params["weight"], wanted, atol=1e-3)
    np.testing.assert_allclose(layer.params["bias"], 1, atol=1e-3)


def test_schedules_begin_at_1_and_end_where_they_should():
    for steps in 1, 2, 100:
        assert [SCHEDULES["constant"](step, steps) for step in (0, steps // 2, steps, steps + 5)] == [1] * 4
        assert SCHEDULES["cosine"](0, steps) == 1
        assert SCHEDULES["cosine"](steps, steps) == SCHEDULES["cosine"](steps + 5, steps) == pytest.approx(0, abs=1e-15)
    assert SCHEDULES["cosine"](50, 100) == pytest.approx(0.5)
    assert SCHEDULES["cosine"](25, 100) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert SCHEDULES["cosine"](0, 0) == 1


def test_cosine_never_rises():
    factors = [SCHEDULES["cosine"](step, 37) for step in range(40)]
    assert factors == sorted(factors, reverse=True) and set(SCHEDULES) == {"constant", "cosine"}


def test_the_learning_rate_may_change_between_steps():
    optimiser = SGD(0.5, momentum=0)
    params = {"w": np.zeros(1)}
    for rate in 1.0, 0.1:
        optimiser.learning_rate = rate
        optimiser.update(params, {"w": np.ones(1)})
    assert params["w"][0] == pytest.approx(-1.1)
