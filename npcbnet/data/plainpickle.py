"""Reading pickles of plain values without unpickling: nothing that a file names is ever imported or called.

A pickle is a program for a small stack machine (the standard library's pickletools says what each opcode does). This
machine knows the opcodes that Python 2's cPickle (protocol 2) and today's pickle (to protocol 5) write for dict, list,
tuple, str, bytes, int, bool, None and NumPy's uint8 arrays. It refuses every other opcode, and every name of a function
or class but the few by which NumPy stores an array; what those would do is done here, on checked values.
"""
import math
import struct
from enum import Enum

import numpy as np

from npcbnet.data.convert import text
from npcbnet.errors import DataError

MAX_BYTES = 64 << 20  # of a file
MAX_TEXT = 2 * MAX_BYTES  # read or made in all: a few opcodes could have one long text made bytes again and again
MAX_OPCODES = 1 << 20  # none takes more than some hundred bytes of memory beyond what it reads

_Part = Enum("_Part", "RECONSTRUCT NDARRAY DTYPE FROMBUFFER ENCODE UINT8 EMPTY_ARRAY")

# The names a file may hold: what numpy.ndarray.__reduce__ writes (`core` became `_core` in NumPy 2), and how Python 3
# writes bytes where protocol 2 has none.
_NAMES = {("numpy", "ndarray"): _Part.NDARRAY, ("numpy", "dtype"): _Part.DTYPE, ("_codecs", "encode"): _Part.ENCODE,
          **{(f"numpy.{core}.multiarray", "_reconstruct"): _Part.RECONSTRUCT for core in ("core", "_core")},
          **{(f"numpy.{core}.numeric", "_frombuffer"): _Part.FROMBUFFER for core in ("core", "_core")}}

# Opcodes followed by a number, or by a length and so many bytes; Python 2's str is bytes.
_NUMBERS = {"K": "<B", "M": "<H", "J": "<i"}  # BININT1, BININT2, BININT
_BYTES = {"U": "<B", "T": "<i", "C": "<B", "B": "<I", "\x8e": "<Q", "\x96": "<Q"}  # (SHORT_)BINSTRING, ..., BYTEARRAY8
_TEXTS = {"\x8c": "<B", "X": "<I"}  # (SHORT_)BINUNICODE
_PUTS, _GETS = {"q": "<B", "r": "<I"}, {"h": "<B", "j": "<I"}  # (LONG_)BINPUT, (LONG_)BINGET
_MAKES = {"}": dict, "]": list, ")": tuple, "N": lambda: None, "\x88": lambda: True, "\x89": lambda: False}
_TUPLES = {"\x85": 1, "\x86": 2, "\x87": 3}


def loads(data, where):
    """The value that the pickle `data` (bytes) describes; `where` names it in errors.

    Arrays come as read-only numpy uint8, Python 2's str as bytes. Raises DataError for whatever is not plain data.
    """
    if len(data) > MAX_BYTES:
        raise DataError(f"{where} has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    return _Machine(data, where).run()


class _Machine:
    """The stack machine: `stack` since the last mark, `below` the stacks under it, `memo` of values by number."""

    def __init__(self, data, where):
        self.data, self.where, self.at = memoryview(data), where, 0
        self.stack, self.below, self.memo, self.letters = [], [], {}, 0

    def run(self):
        for _ in range(MAX_OPCODES):
            code = chr(self.take(1)[0])
            if code == ".":
                return self.result()
            if code in _NUMBERS:
                self.push(self.number(_NUMBERS[code]))
            elif code in _BYTES:
                self.push(bytes(self.take(self.number(_BYTES[code]))))
            elif code in _TEXTS:
                self.push(self.decoded(self.take(self.number(_TEXTS[code]))))
            elif code in _PUTS:
                self.memo[self.number(_PUTS[code])] = self.top()
            elif code in _GETS:
                self.push(self.remembered(self.number(_GETS[code])))
            elif code in _MAKES:
                self.push(_MAKES[code]())
            elif code in _TUPLES:
                self.push(tuple([self.pop() for _ in range(_TUPLES[code])][::-1]))
            elif code in _STEPS:
                _STEPS[code](self)
            else:
                raise self.refused(f"has opcode 0x{ord(code):02x}, which plain data does not need")
        raise self.refused(f"has more than {MAX_OPCODES:,} opcodes")

    def refused(self, why):
        """A DataError that names the file and the place in it."""
        return DataError(f"{self.where} {why} (byte {self.at:,}); only plain values and uint8 arrays are read, nothing "
                         "is unpickled: get the published file again")

    def take(self, count):
        """The next `count` bytes."""
        if not 0 <= count <= len(self.data) - self.at:
            raise self.refused(f"is truncated or damaged: {count:,} bytes should follow")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def decoded(self, data):
        """Bytes as text."""
        try:
            self.spend(len(data))
            return str(data, "utf-8")
        except UnicodeDecodeError:
            raise self.refused("has damaged text") from None

    def spend(self, letters):
        """Count letters of text read or made."""
        self.letters += letters
        if self.letters > MAX_TEXT:
            raise self.refused("has too much text")

    def push(self, value):
        self.stack.append(value)

    def top(self):
        if not self.stack:
            raise self.refused("takes from an empty stack")
        return self.stack[-1]

    def pop(self):
        value = self.top()
        self.stack.pop()
        return value

    def remembered(self, key):
        if key not in self.memo:
            raise self.refused(f"refers to value {key}, which it does not have")
        return self.memo[key]

    def mark(self):
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self):
        """The values above the last mark, which goes with them."""
        if not self.below:
            raise self.refused("has no mark where one is needed")
        values, self.stack = self.stack, self.below.pop()
        return values

    def extend(self, values):
        """APPEND, APPENDS: the list below `values` grows by them."""
        if type(self.top()) is not list:
            raise self.refused("appends to what is no list")
        self.top().extend(values)

    def set_items(self, values):
        """SETITEM, SETITEMS: the dict below `values` gets them as key, value, key, value, ..."""
        # Only such keys: the hash of a deeply nested tuple would overflow the C stack.
        if type(self.top()) is not dict or len(values) % 2 or not all(isinstance(k, (str, bytes)) for k in values[::2]):
            raise self.refused("sets items of what is no dict, or by keys that are no text")
        self.top().update(zip(values[::2], values[1::2]))

    def pair(self):
        last = self.pop()
        return [self.pop(), last]

    def protocol(self):
        version = self.number("<B")
        if version not in (2, 3, 4, 5):
            raise self.refused(f"is a pickle of protocol {version}; 2 to 5 are known")

    def name_in_lines(self):
        """GLOBAL: a module and a name in it, each up to a line break."""
        lines = bytes(self.data[self.at:self.at + 80]).split(b"\n")
        if len(lines) < 3:
            raise self.refused("names a function or class that plain data does not need")
        self.at += len(lines[0]) + len(lines[1]) + 2
        self.known(*(line.decode("latin-1") for line in lines[:2]))

    def known(self, module, name):
        """Push what stands for a function or class of _NAMES."""
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in _NAMES:
            raise self.refused(f"names {_short(module)}.{_short(name)}, a function or class that plain data does not "
                               "need")
        self.push(_NAMES[module, name])

    def reduce(self):
        """REDUCE: what NumPy's or codecs' function would give for its arguments."""
        function, given = self.pair()
        if not isinstance(given, tuple) or not given:
            raise self.refused("calls a function without arguments")
        if function is _Part.DTYPE and isinstance(given[0], (str, bytes)) and given[0] in ("u1", b"u1"):
            self.push(_Part.UINT8)
        elif function is _Part.RECONSTRUCT and given[0] is _Part.NDARRAY:
            self.push(_Part.EMPTY_ARRAY)
        elif function is _Part.FROMBUFFER and len(given) >= 4 and _short(given[3]) == "C":
            self.push(self.array(*given[:3]))
        elif function is _Part.ENCODE and isinstance(given[0], str) and _short(given[-1]) == "latin1":
            self.push(self.encoded(given[0]))
        else:
            raise self.refused("calls a function in a way that plain data does not need; arrays must be uint8")

    def build(self):
        """BUILD: fills an array, or tells more about a dtype. The memo keeps the empty array, which nothing accepts."""
        target, state = self.pair()
        if not isinstance(state, tuple) or len(state) < 5:
            raise self.refused("has a state that no uint8 array has")
        if target is _Part.UINT8 and state[2] is state[3] is state[4] is None:  # no sub-arrays, no fields
            self.push(target)
        elif target is _Part.EMPTY_ARRAY and state[3] is False:
            self.push(self.array(state[4], state[2], state[1]))
        else:
            raise self.refused("has a state that no uint8 array has, or an array in Fortran's order")

    def array(self, data, dtype, shape):
        """The uint8 array of `shape` that `data` holds, without a copy."""
        if dtype is not _Part.UINT8 or not isinstance(data, bytes):
            raise self.refused("has an array that is not of uint8")
        whole = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
        if not whole or len(shape) > 4 or math.prod(side or 1 for side in shape) > MAX_BYTES:  # beside a 0 as well
            raise self.refused("has an array of an impossible shape")
        if math.prod(shape) != len(data):
            raise self.refused(f"has an array of {text(shape)} in {len(data):,} bytes")
        return np.frombuffer(data, np.uint8).reshape(shape)

    def encoded(self, letters):
        """The bytes that Python 3 wrote as text, one letter each."""
        try:
            self.spend(len(letters))
            return letters.encode("latin-1")
        except UnicodeEncodeError:
            raise self.refused("has bytes written as text that are none") from None

    def result(self):
        """STOP: the one value that is left."""
        if len(self.stack) != 1 or self.below or self.at != len(self.data):
            raise self.refused("does not end with one value")
        return self.pop()


def _short(value):
    """A short text of the file for an error or a comparison; of anything else only its type."""
    if isinstance(value, bytes):
        value = value[:40].decode("latin-1")
    if not isinstance(value, str):
        return type(value).__name__
    return "".join(c if c.isprintable() else "?" for c in value[:40])


_STEPS = {"\x80": _Machine.protocol, "\x95": lambda m: m.number("<Q"),  # FRAME: how much to read ahead
          "(": _Machine.mark, "t": lambda m: m.push(tuple(m.since_mark())),
          "a": lambda m: m.extend([m.pop()]), "e": lambda m: m.extend(m.since_mark()),
          "s": lambda m: m.set_items(m.pair()), "u": lambda m: m.set_items(m.since_mark()),
          "\x94": lambda m: m.memo.__setitem__(len(m.memo), m.top()),  # MEMOIZE
          "c": _Machine.name_in_lines, "\x93": lambda m: m.known(*m.pair()),  # GLOBAL, STACK_GLOBAL
          "R": _Machine.reduce, "b": _Machine.build}
