"""From operations to a program: which micro-kernel does each, where its maps lie, how its weights are packed.

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
from dataclasses import dataclass

import numpy as np

from npcbnet.layers.base import aligned_empty
from npcbnet.runtime import context
from npcbnet.runtime.micro.executor import WORDS

SLACK = 512  # floats behind the last map that a vector may read or write


@dataclass(frozen=True)
class Address:
    """A place in the maps' memory, in floats; made absolute when the program is placed."""

    offset: int

    def __add__(self, floats):
        return Address(self.offset + floats)


CONTEXT = object()  # stands for the context's address in a program that is not placed yet


@dataclass(frozen=True)
class Map:
    """Where a map lies: start of its memory, shape, frame, images side by side."""

    memory: Address
    shape: tuple
    pad: int
    group: int

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
        """The same memory as another shape of as many values (no frame)."""
        return Map(self.memory, tuple(shape), 0, self.group)


class Program:
    """Steps, weights and the memory that their maps need; made by the functions of `lower`."""

    def __init__(self, library, vectors):
        self.library, self.vectors = library, vectors
        self.lanes = library.target.lanes
        self.group = max(1, vectors * self.lanes)
        self.rows, self.floats, self.drain = [], 0, None
        self.weights = []  # kept alive: the rows hold their addresses

    def map(self, shape, pad=0):
        """A new map."""
        made = Map(Address(self.floats), tuple(shape), pad, self.group)
        self.scratch(made.size + 4 * made.row)  # zeros below the last channel, for tiles that reach beyond the frame
        return made

    def scratch(self, floats):
        """Memory for `floats` values and what a vector may touch behind them."""
        start = Address(self.floats)
        self.floats += -(-(int(floats) + SLACK) // 16) * 16
        return start

    def weight(self, array):
        """The address of an array that all threads share; float32, on a cache line."""
        array = np.asarray(array, np.float32)
        kept = aligned_empty((max(array.size, 16384) + SLACK,), np.float32)
        kept[:array.size] = array.ravel()
        kept[array.size:] = 0
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
        self.memory = np.zeros(program.floats + 16, np.float32)
        base = -(-self.memory.ctypes.data // 64) * 64
        self.context = np.zeros(context.SIZE, np.int64)
        self.counter = np.zeros(8, np.int64)
        at = self.context.ctypes.data
        self.table = np.zeros((len(program.rows), WORDS), np.int64)
        for row, (kernel, *operands) in zip(self.table, program.rows):
            values = [base + 4 * operand.offset if isinstance(operand, Address) else
                      at if operand is CONTEXT else operand for operand in operands]
            row[:1 + len(values)] = [kernel, *values]
        drain = self.table[program.drain].ctypes.data if program.drain is not None else 0
        self.row = np.array([self.table.ctypes.data, drain, at, self.counter.ctypes.data, program.group], np.int64)
        self.start = self.row.ctypes.data

    def share(self, counter):
        """Claim images from another's counter instead of its own."""
        self.row[3] = counter.ctypes.data
