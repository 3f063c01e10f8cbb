"""One step of Adam over a flat array: five streams of memory read once, where array arithmetic reads them ten times."""
import numpy as np

from npcbnet.kernels._jit import choose, jit


@jit
def update_loop(theta, m, v, gradient, beta1, beta2, rate, divisor, epsilon):
    """theta -= rate * m / (sqrt(v / divisor) + epsilon); m, v: running means of gradient and its square. All flat."""
    one = theta.dtype.type(1)
    for i in range(theta.size):
        g = gradient[i]
        m[i] = m[i] + (one - beta1) * (g - m[i])
        v[i] = v[i] + (one - beta2) * (g * g - v[i])
        theta[i] = theta[i] - rate * m[i] / (np.sqrt(v[i] / divisor) + epsilon)


def update_numpy(theta, m, v, gradient, beta1, beta2, rate, divisor, epsilon):
    """The same in NumPy."""
    m += (1 - beta1) * (gradient - m)
    v += (1 - beta2) * (np.square(gradient) - v)
    theta -= rate * m / (np.sqrt(v / divisor) + epsilon)


update = choose(update_loop, update_numpy)
