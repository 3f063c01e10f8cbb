"""Optimisers and learning-rate schedules. An optimiser updates a {name: array} of parameters in place."""
import math

import numpy as np

from npcbnet.kernels import adam


class Adam:
    """Adam (Kingma and Ba, 2015).

    fold_epsilon=False is their Algorithm 1: theta -= alpha * m_hat / (sqrt(v_hat) + epsilon).
    fold_epsilon=True is the form at the end of their section 2, which Chainer and TensorFlow run: the bias corrections
    go into the step size, alpha_t = alpha sqrt(1 - beta2^t) / (1 - beta1^t), and
    theta -= alpha_t * m / (sqrt(v) + epsilon).
    """

    def __init__(self, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, fold_epsilon=False):
        self.learning_rate, self.beta1, self.beta2 = learning_rate, beta1, beta2
        self.epsilon, self.fold_epsilon = epsilon, fold_epsilon
        self.step, self.m, self.v = 0, {}, {}

    def update(self, params, grads):
        """One step. params, grads: {name: array}, same keys and shapes."""
        self.step += 1
        correct_m, correct_v = 1 - self.beta1 ** self.step, 1 - self.beta2 ** self.step
        # (learning rate, divisor of v): the two forms differ in where the bias corrections stand
        rate, divisor = ((self.learning_rate * np.sqrt(correct_v) / correct_m, 1.0) if self.fold_epsilon
                         else (self.learning_rate / correct_m, correct_v))
        for name, theta in params.items():
            if name not in self.m:
                self.m[name], self.v[name] = np.zeros(theta.shape, theta.dtype), np.zeros(theta.shape, theta.dtype)
            flat = np.ascontiguousarray(theta).reshape(-1)  # theta's own memory, or a copy where it is not in C order
            settings = (theta.dtype.type(value) for value in (self.beta1, self.beta2, rate, divisor, self.epsilon))
            adam.update(flat, self.m[name].reshape(-1), self.v[name].reshape(-1),
                        np.ascontiguousarray(grads[name]).reshape(-1), *settings)
            if not theta.flags.c_contiguous:
                theta[...] = flat.reshape(theta.shape)

    def state(self):
        """Everything a checkpoint needs: {name: array}."""
        moments = {f"{kind}.{name}": array.copy() for kind in ("m", "v") for name, array in getattr(self, kind).items()}
        return moments | {"step": np.array(self.step)}

    def restore(self, state):
        """Take back what state() gave."""
        self.step = int(state["step"])
        self.m = {name[2:]: np.array(array) for name, array in state.items() if name.startswith("m.")}
        self.v = {name[2:]: np.array(array) for name, array in state.items() if name.startswith("v.")}


class SGD:
    """Stochastic gradient descent with momentum (Polyak, 1964): u = momentum * u + g; theta -= learning_rate * u."""

    def __init__(self, learning_rate=0.01, momentum=0.9, nesterov=False):
        self.learning_rate, self.momentum, self.nesterov, self.u = learning_rate, momentum, nesterov, {}

    def update(self, params, grads):
        """One step. params, grads: {name: array}, same keys and shapes. nesterov: look one step of momentum ahead."""
        for name, theta in params.items():
            u = self.u.setdefault(name, np.zeros_like(theta))
            u *= self.momentum
            u += grads[name]
            theta -= self.learning_rate * (grads[name] + self.momentum * u if self.nesterov else u)

    def state(self):
        """Everything a checkpoint needs: {name: array}."""
        return {f"u.{name}": array.copy() for name, array in self.u.items()}

    def restore(self, state):
        """Take back what state() gave."""
        self.u = {name[2:]: np.array(array) for name, array in state.items() if name.startswith("u.")}


def constant(step, steps):
    """Factor of the learning rate at `step` of `steps`: always 1."""
    return 1.0


def cosine(step, steps):
    """Factor of the learning rate: from 1 to 0 along half a cosine (Loshchilov and Hutter, 2017, eq. 5, one cycle)."""
    return 0.5 * (1 + math.cos(math.pi * min(step, steps) / max(1, steps)))


SCHEDULES = {"constant": constant, "cosine": cosine}
