"""A program under construction: steps, the maps that they read and write, packed weights.

A `Map` is what flows between steps: C maps of H x W pixels, `group` images side by side in each pixel (1 for one
image), in a frame of zeros as wide as the next convolution's padding. Rows share the frame's sides: a row is W + pad
pixels long.

    . . . . . .          pad = 1, 2 x 4 pixels (x); the dot behind a row is the one before the next
    . x x x x
    . x x x x
    . . . . . .

A `Program` is a table of int64: one row a step. Addresses are filled in when it is `placed`: every thread has its own
maps, all share the weights.
"""
from dataclasses import dataclass, replace

import numpy as np

from npcbnet.runtime import context
from npcbnet.runtime.micro.executor import WORDS

SLACK = 512  # floats behind a map or a scratch that vectors may read or write
MAPS, SCRATCH = 0, 1  # the two zones of a thread's memory: maps keep their values, scratch serves each step anew


@dataclass(frozen=True)
class Address:
    """A place in a thread's memory, in floats; made absolute when the program is placed."""

    zone: int
    offset: int

    def __add__(self, floats):
        return Address(self.zone, self.offset + floats)


CONTEXT = object()  # stands for the context's address in a program that is not placed yet


@dataclass(frozen=True)
class Map:
    """Where a map lies: start of its memory, shape, frame, images side by side; how far from zero its values can be."""

    memory: Address
    shape: tuple
    pad: int
    group: int
    reach: float = 1.0

    @property
    def sides(self):
        """C, H, W; features (D,) are D maps of one pixel."""
        return self.shape if len(self.shape) == 3 else (self.shape[0], 1, 1)

    @property
    def row(self):
        """Floats from one row to the next."""
        return (self.sides[2] + self.pad) * self.group

    @property
    def channel(self):
        """Floats from one channel to the next."""
        return self.row * (self.sides[1] + 2 * self.pad)

    @property
    def size(self):
        """Floats of the whole map, frame and all."""
        return self.sides[0] * self.channel + self.pad * self.group

    def corner(self, pad=0):
        """The pixel `pad` rows above and columns before the first."""
        inside = self.pad - pad
        return self.memory + (inside * self.row + inside * self.group)

    def reshaped(self, shape):
        """The same memory as another shape of as many values. Only for maps without a frame."""
        if self.pad:
            raise ValueError(f"a map in a frame of {self.pad} cannot be reshaped")
        return replace(self, shape=tuple(shape))


class Program:
    """Steps, weights and the memory that their maps need."""

    def __init__(self, library, vectors):
        self.library, self.vectors = library, vectors
        self.lanes = library.target.lanes
        self.group = max(1, vectors * self.lanes)
        self.alone = {"lanes": 1} if self.group == 1 else {}  # for kernels that take one image float by float
        self.rows, self.floats = [], [0, 0]
        self.cost = 0.0  # of convolutions and dense layers, as steps/costs.py estimates it
        self.drain, self.lines = None, 0  # the row where the images that wait in lines are answered; how many lines
        self.weights = []  # kept alive: the rows hold their addresses
        self._made, self._free = {}, {}  # maps by their place; places of maps no longer needed, by their form

    def map(self, shape, pad=0, more=0, lasting=False):
        """A new map. more: channels behind its last that may be written. Its frame is zero as long as it lives.

        lasting: nothing else is ever put in its place, so that what its step leaves out stays zero, too.
        """
        made = Map(Address(MAPS, self.floats[MAPS]), tuple(shape), pad, self.group)
        form = made.sides, pad, more
        if self._free.get(form) and not lasting:
            made = Map(self._free[form].pop(), tuple(shape), pad, self.group)
        else:
            # Below the last channel there are zeros, too, for tiles that reach beyond the frame.
            self._take(MAPS, made.size + more * made.channel + 4 * made.row)
        if not lasting:
            self._made[made.memory] = form
        return made

    def free(self, memory):
        """The map at this Address is read no more: another of the same form may take its place."""
        form = self._made.pop(memory, None)
        if form is not None:
            self._free.setdefault(form, []).append(memory)

    def scratch(self, *sizes):
        """Memory for one step: an Address for each number of floats. Another step may write there."""
        self.floats[SCRATCH], most = 0, self.floats[SCRATCH]
        places = [self._take(SCRATCH, floats) for floats in sizes]
        self.floats[SCRATCH] = max(most, self.floats[SCRATCH])
        return places

    def _take(self, zone, floats):
        start = Address(zone, self.floats[zone])
        self.floats[zone] += -(-(int(floats) + SLACK) // 16) * 16
        return start

    def weight(self, array, dtype=np.float32):
        """The address of an array that all threads share; of `dtype`, on a cache line."""
        with np.errstate(over="ignore"):
            array = np.asarray(array, dtype)
        memory = np.zeros(array.nbytes + 320, np.uint8)  # room to start on a cache line and to read over the end
        start = -memory.ctypes.data % 64
        kept = memory[start:start + array.nbytes].view(dtype)
        kept[:] = array.ravel()
        self.weights.append(kept)
        return kept.ctypes.data

    def step(self, kernel, /, *operands, **fixed):
        """Add a step. operands: numbers, Address, CONTEXT or whole numbers that are addresses."""
        if len(operands) >= WORDS:
            raise ValueError(f"{kernel} has {len(operands)} operands, a row holds {WORDS - 1}")
        self.rows.append((self.library.address(kernel, **fixed), *operands))

    def place(self):
        """Memory for one thread: Placed."""
        return Placed(self)


class Placed:
    """A program with maps and context of its own: what one thread runs. `start` is the executor's argument."""

    def __init__(self, program):
        self.program = program
        self.memory = [np.zeros(floats + 32, np.float32) for floats in program.floats]
        bases = [memory.ctypes.data // 64 * 64 + 64 for memory in self.memory]  # a few floats before them may be read
        self.context = np.zeros(context.size(program.lines), np.int64)
        self.counter = np.zeros(8, np.int64)
        at = self.context.ctypes.data
        self.table = np.zeros((len(program.rows), WORDS), np.int64)
        for row, operands in zip(self.table, program.rows):
            row[:len(operands)] = [bases[operand.zone] + 4 * operand.offset if isinstance(operand, Address) else
                                   at if operand is CONTEXT else operand for operand in operands]
        drain = self.table[program.drain].ctypes.data if program.drain is not None else 0
        self.row = np.array([self.table.ctypes.data, drain, at, self.counter.ctypes.data, program.group], np.int64)
        self.start = self.row.ctypes.data

    def share(self, counter):
        """Claim images from another's counter instead of its own."""
        self.row[3] = counter.ctypes.data
