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
EARLY = 8       # address of the entropies at the first exit, (N,) float32, nats
LABEL = 9       # address of the labels, (N,) int64
EXIT = 10       # address of the exits taken, (N,) int64
PICTURE = 11    # address of the converted images, (N, C, H, W) float32; 0: nobody asked
LAST = 12       # 1 when no image is left to begin with
WAITING = 13    # images that wait for the layers behind the first exit
STAYS = 14      # bit i: image i of the group goes on
IDS = 16        # numbers of the images of the group, LANES of them
WAITING_IDS = IDS + LANES   # numbers of the images that wait, at most two groups
SIZE = WAITING_IDS + 2 * LANES
