"""What one call of the engine is about: places in the context, an array of int64 that all steps of a thread share.

Addresses of the caller's arrays, the images in hand, and what the exits leave behind. Floats there are float32.
"""
LANES = 64  # the most images that one group holds, on any processor

IMAGES = 0      # address of the images, (N, C, H, W), uint8 or float32
IS_FLOAT = 1    # 1: float32 in 0..1, 0: uint8
COUNT = 2       # N
FIRST = 3       # number of the group's first image
HERE = 4        # images in the group
STRANGE = 5     # becomes 1 where a float image holds NaN or values outside 0..1
P = 6           # address of the probabilities, (N, O) float32
ENTROPY = 7     # address of the entropies at the exit taken, (N,) float32, nats
EARLY = 8       # address of the entropies at the early exits, (exits, N) float32, nats
LABEL = 9       # address of the labels, (N,) int64
EXIT = 10       # address of the exits taken, (N,) int64
PICTURE = 11    # address of the converted images, (N, C, H, W) float32; 0: nobody asked
LAST = 12       # 1 when no image is left to begin with
STAYS = 14      # bit i: image i of the group goes on
IDS = 16        # numbers of the images of the group, LANES of them
LINES = IDS + LANES         # behind each exit a line: how many images wait, then their numbers, at most two groups

WAITING_IDS = 1             # where the numbers begin in a line
LINE = 8 + 2 * LANES


def line(number):
    """The place of a line; 0 is the one behind the first exit."""
    return LINES + number * LINE


def size(lines):
    """The length of a context with so many lines."""
    return line(lines)
