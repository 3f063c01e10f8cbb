"""A trained model compiled for this machine: `compile(model)` gives a Predictor."""
import copy
from functools import partial

import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.nets import CBNet, MultiExit
from npcbnet.nets.converter import Converter
from npcbnet.nets.images import as_images
from npcbnet.nets.model import Explanation
from npcbnet.runtime import context
from npcbnet.runtime.crew import Crew
from npcbnet.runtime.layerwise import check_classifies, check_converts, check_finite, check_threads
from npcbnet.runtime.library import KERNEL, library
from npcbnet.runtime.models import groups_pay, program_of
from npcbnet.runtime.steps.costs import least_group

# Entropies that a group of images and a single image compute differ by rounding. Where an early exit's lies as near to
# its threshold as this, the single image's decides, so that an exit never depends on the company.
NEAR = 1e-2, 5e-7  # relative, absolute (nats)


class Predictor:
    """One model, ready to predict: no allocation beyond the answers, one native call.

    Not for two threads at a time: give each thread a Predictor of its own. threads: how many this one may use itself.
    kernels: a Library for another target than `host()`, e.g. one of narrower vectors.
    """

    def __init__(self, model, threads=1, kernels=None):
        check_threads(threads)
        check_finite(model)
        model = copy.deepcopy(model)  # whatever happens to the caller's
        self.model, self.threads = model, int(threads)
        self.input_shape, self.class_names = model.input_shape, getattr(model, "class_names", ())
        self._classes = 0 if isinstance(model, Converter) else model.classes
        self._thresholds = model.thresholds if isinstance(model, MultiExit) else ()
        self._library = kernels or library()
        self._run_native = KERNEL(self._library.address("executor", alone=False))
        self._run_alone = KERNEL(self._library.address("executor", alone=True))
        self._group, self._places, self._crew = None, [], None  # for batches, made when the first one comes
        self._least = max(2, self._library.target.lanes // 2)  # images that the program for batches takes, at least
        try:
            self._one = program_of(model, self._library, 0).place()
        except MemoryError:
            raise ShapeError("too little memory for this model on this machine; choose a smaller one") from None
        self._prepare_one()

    def _prepare_one(self):
        """Room for one image and its answer, and where the native code finds them."""
        C, H, W = self.input_shape
        self._p, self._picture = np.zeros((1, max(1, self._classes)), np.float32), np.zeros((1, C, H, W), np.float32)
        self._label, self._exit = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._entropies = np.zeros(1 + len(self._thresholds), np.float32)  # at the exit taken, at each early one
        self._views = {}  # of one image's pixels: {(shape, number of its type): (the array, its address, is it float?)}
        for dtype in (np.uint8, np.float32):
            pixels = np.zeros((C, H, W), dtype)
            for shape in [(1, C, H, W)] + ([(H, W), (1, H, W)] if C == 1 else [(C, H, W)]):
                self._views[shape, pixels.dtype.num] = pixels.reshape(shape), pixels.ctypes.data, dtype == np.float32
        own = {context.P: self._p, context.LABEL: self._label, context.EXIT: self._exit,
               context.ENTROPY: self._entropies[:1], context.EARLY: self._entropies[1:]}
        self._own = {place: array.ctypes.data for place, array in own.items()}
        self._address_one()

    def _address_one(self):
        """Tell the context of the single image where its answers go. Whoever tells it something else says so first, by
        _lend_one: Ctrl-C may come at any time."""
        ctx = self._one.context
        for place, address in self._own.items():
            ctx[place] = address
        ctx[context.COUNT] = ctx[context.HERE] = 1
        ctx[context.FIRST] = ctx[context.LAST] = ctx[context.PICTURE] = 0
        self._reads, self._draws = None, False  # address of the pixels that the context knows; does it want a picture?
        self._at_home = True

    def _lend_one(self):
        """The context of the single image is about to learn of other arrays, which will not live long."""
        self._at_home = False
        self._reads = None

    def predict(self, images):
        """Labels (N,) int64. Images as for Model.predict: uint8, or float in 0..1. Raises ShapeError, UsageError."""
        if self._classes and self._answer_one(images):
            return self._label.copy()
        check_classifies(self.model)
        return self._answer(images)[0]

    def predict_proba(self, images):
        """Probabilities (N, O) float32, rows sum to 1. Raises ShapeError."""
        if self._classes and self._answer_one(images):
            return self._p.copy()
        check_classifies(self.model)
        return self._answer(images)[1]

    def explain(self, images):
        """An Explanation: label, confidence, entropy, exit and converted image of each. Raises ShapeError."""
        check_classifies(self.model)
        label, p, entropy, exits, converted = self._answer(images, isinstance(self.model, CBNet))
        return Explanation(label, p.max(axis=1), entropy.astype(np.float64), exits, converted)

    def convert(self, images):
        """The images as the classifier sees them, (N, C, H, W) float32 in 0..1. Raises ShapeError."""
        check_converts(self.model)
        if self._answer_one(images, True):
            return self._picture.copy()
        return self._answer(images, True)[4]

    def warmup(self):
        """Prepare everything, so that no later call is slower than the ones after it. Returns self."""
        for count in (1, 2 * self._library.target.lanes):
            self._answer(np.zeros((count, *self.input_shape), np.uint8))
        return self

    def _answer_one(self, images, picture=False):
        """Answer a single image into the arrays of _prepare_one; False where it is not the plain case."""
        if type(images) is not np.ndarray:
            return False
        found = self._views.get((images.shape, images.dtype.num))
        if found is None:
            return False
        pixels, address, is_float = found
        pixels[...] = images
        if self._reads != address:
            if not self._at_home:
                self._address_one()
            self._one.context[context.IMAGES], self._one.context[context.IS_FLOAT] = address, is_float
            self._reads = address
        if self._draws != picture:
            self._one.context[context.PICTURE] = self._picture.ctypes.data if picture else 0
            self._draws = picture
        if self._run_alone(self._one.start):
            as_images(images, self.input_shape)  # says what is wrong with it
        return True

    def _answer(self, images, pictures=False):
        """label, p, entropy, exits, converted (or None) of any images."""
        images = np.ascontiguousarray(as_images(images, self.input_shape, check_values=False))
        count = len(images)
        try:
            if self._group is None and count >= self._least:
                self._prepare_groups()
            whole = self._in_groups(count)
            parts = [self._fill(some, pictures) for some in (images[:whole], images[whole:]) if len(some) or not count]
        except MemoryError:
            raise ShapeError(f"too little memory for {count} images at once; pass fewer") from None
        return parts[0] if len(parts) == 1 else [None if column[0] is None else np.concatenate(column)
                                                 for column in zip(*parts)]

    def _prepare_groups(self):
        """The program for batches, of groups of images where those pay."""
        group = program_of(self.model, self._library, 1) if groups_pay(self.model, self._library) else None
        least = self._least if group is None else least_group(self._one.program.cost, group.cost, group.group)
        if group is None or least > group.group:
            group, least = program_of(self.model, self._library, 0), 2
        self._places = [group.place() for _ in range(self.threads)]
        self._crew, self._least = Crew(self.threads - 1), least
        self._group = group  # last: where memory is short before, the next batch begins anew

    def _in_groups(self, count):
        """How many of `count` images the program for batches takes; one by one the others are done sooner."""
        if self._group is None or count < self._least:
            return 0
        rest = count % self._group.group
        return count if rest >= self._least else count - rest

    def _fill(self, images, pictures):
        """Fresh arrays for the answers, filled."""
        count = len(images)
        label, exits = np.empty((2, count), np.int64)
        p, entropies = (np.empty(shape, np.float32) for shape in ((count, self._classes),
                                                                  (1 + len(self._thresholds), count)))
        entropies[2:] = np.nan  # not every image comes to the second exit
        converted = np.empty((count, *self.input_shape), np.float32) if pictures or not self._classes else None
        arrays = {context.IMAGES: images, context.P: p, context.ENTROPY: entropies[0], context.EARLY: entropies[1:],
                  context.LABEL: label, context.EXIT: exits, context.PICTURE: converted}
        if count:
            self._run(arrays, images, count)
        if self._thresholds and self._in_groups(count) and self._group.group > 1:
            self._decide_again(arrays, images, entropies[1:])
        return label, p, entropies[0], exits, converted

    def _run(self, arrays, images, count):
        """Let the native code fill the arrays for `count` images."""
        crew = [self._one]
        if self._in_groups(count):
            crew = self._places[:max(1, min(self.threads, count // self._group.group))]
        else:
            self._lend_one()
        for placed in crew:
            ctx = placed.context
            for place, array in arrays.items():
                ctx[place] = 0 if array is None else array.ctypes.data
            ctx[context.IS_FLOAT], ctx[context.COUNT] = images.dtype == np.float32, count
            ctx[context.LAST] = 0
            ctx[context.LINES::context.LINE] = 0  # whatever the call before has left in the lines
            placed.share(crew[0].counter)
        crew[0].counter[0] = 0
        mine, *theirs = [partial(self._run_native, placed.start) for placed in crew]
        strange = self._crew.run(mine, theirs) if theirs else mine()
        if crew[0] is self._one:
            self._address_one()
        if strange or any(placed.context[context.STRANGE] for placed in crew):
            as_images(images, self.input_shape)

    def _decide_again(self, arrays, images, early):
        """Answer anew, one by one, the images for which an exit hangs on rounding. early: (exits, N)."""
        near = np.zeros(len(images), bool)
        for entropy, threshold in zip(early.astype(np.float64), self._thresholds):
            if 0 < threshold < np.inf:  # else none leaves, or all do
                near |= np.abs(entropy - threshold) <= NEAR[0] * threshold + NEAR[1]
        once_more = np.empty((len(early), 1), np.float32)
        for i in np.flatnonzero(near):
            some = {place: None if array is None else array[i:i + 1] for place, array in arrays.items()}
            self._run({**some, context.EARLY: once_more}, images[i:i + 1], 1)
