"""A small assembler: Python calls that write LLVM instructions, one function at a time.

    f = Function("double", lanes=16, target=host())
    x, n = f.pointer(0), f.number(1)                     # the function's arguments, from its row of int64
    with f.loop(0, n, step=16) as i:
        f.store(f.load(x, i) * 2.0, x, i)
    text = f.finish()                                    # LLVM IR; `library` makes machine code of it

A `Value` is one LLVM register. + - * on whole numbers and on floats write the instruction and return its result. What
Python knows already (a kernel's side, the width of a tile) stays a Python number and costs nothing when the function
runs.

Every function has the form `i64 name(ptr row)`: row is an array of int64 that holds its pointers and sizes; the result
tells the executor how many rows to go on (1: the next).
"""
import struct
from contextlib import contextmanager

from npcbnet.runtime.value import TRUTH, Value

NUMBER, POINTER, BYTE, FLOAT, HALF = "i64", "ptr", "i8", "float", "half"


class Function:
    """One function being written for `target`. lanes: floats in one of the vectors it works with (1: plain floats).

    sure: no NaN can come its way, so that none needs care.
    """

    def __init__(self, name, lanes, target, sure=False):
        self.name, self.lanes, self.target, self.sure = name, lanes, target, sure
        self.vector = FLOAT if lanes == 1 else f"<{lanes} x float>"
        self.whole = "i32" if lanes == 1 else f"<{lanes} x i32>"
        self.truths = TRUTH if lanes == 1 else f"<{lanes} x i1>"
        self._lines, self._declared, self._count, self._block = [], set(), 0, "start"
        self.row = Value(self, "%row", POINTER)

    # --- writing

    def emit(self, text, type=None):
        """Write one instruction; its result as a Value where it has a type."""
        if type is None:
            self._lines.append("  " + text)
            return None
        self._count += 1
        self._lines.append(f"  %v{self._count} = {text}")
        return Value(self, f"%v{self._count}", type)

    def operand(self, value, type):
        """A Value's name, or Python numbers as a constant of the type: a list of the lanes, or one for all."""
        if isinstance(value, Value):
            if value.type != type:
                raise TypeError(f"{self.name}: {value.type} where {type} is needed")
            return value.name
        if type.startswith("<"):
            inner, lanes = type.split(" x ")[1][:-1], self.lanes_of(type)
            values = value if isinstance(value, list) else [value] * lanes
            return "<" + ", ".join(f"{inner} {self.operand(one, inner)}" for one in values) + ">"
        if type == FLOAT:  # LLVM writes a float as the bits of the double of the same value
            return f"0x{struct.unpack('<Q', struct.pack('<d', _single(value)))[0]:016X}"
        return str(int(value))

    @staticmethod
    def lanes_of(type):
        """Number of lanes of a vector type, 1 for a single value."""
        return int(type[1:type.index(" ")]) if type.startswith("<") else 1

    def call(self, name, result, *arguments):
        """Call one of LLVM's intrinsics; arguments are Values."""
        types = ", ".join(argument.type for argument in arguments)
        self._declared.add(f"declare {result} @{name}({types})")
        text = ", ".join(f"{argument.type} {argument.name}" for argument in arguments)
        return self.emit(f"call {result} @{name}({text})", None if result == "void" else result)

    def constant(self, value, type=None):
        """A Value that is a constant; type: a vector of floats unless told."""
        type = type or self.vector
        return Value(self, self.operand(value, type), type)

    def _label(self, name):
        self._lines.append(f"{name}:")
        self._block = name

    def finish(self, result=1):
        """The text of the module: this function, ended by `return result`, and the intrinsics that it calls."""
        self.emit(f"ret i64 {self.operand(result, NUMBER)}")
        return "\n".join([*sorted(self._declared), f"define i64 @{self.name}(ptr noalias %row) nounwind {{", "start:",
                          *self._lines, "}", "!0 = !{}", ""])

    # --- arguments and addresses

    def number(self, place):
        """The whole number at row[place]."""
        return self.emit(f"load i64, ptr {self.at(self.row, place, NUMBER).name}, !invariant.load !0", NUMBER)

    def pointer(self, place):
        """The address at row[place]."""
        return self.emit(f"inttoptr i64 {self.number(place).name} to ptr", POINTER)

    def numbers(self, first, count):
        """`count` whole numbers from row[first] on."""
        return [self.number(first + i) for i in range(count)]

    def pointers(self, first, count):
        """`count` addresses from row[first] on."""
        return [self.pointer(first + i) for i in range(count)]

    def at(self, pointer, index, type=FLOAT):
        """The address `index` elements of `type` behind pointer."""
        if isinstance(index, int) and index == 0:
            return pointer
        place = self.operand(index, NUMBER)
        return self.emit(f"getelementptr inbounds {type}, ptr {pointer.name}, i64 {place}", POINTER)

    # --- memory

    def load(self, pointer, index=0, type=None, align=4):
        """A vector of floats (or a value of `type`) from pointer + index floats (or elements of its type)."""
        type = type or self.vector
        element = FLOAT if "float" in type else type.split(" x ")[1][:-1] if type.startswith("<") else type
        return self.emit(f"load {type}, ptr {self.at(pointer, index, element).name}, align {align}", type)

    def store(self, value, pointer, index=0, align=4):
        """Write a value to pointer + index elements."""
        element = value.type.split(" x ")[1][:-1] if value.type.startswith("<") else value.type
        self.emit(f"store {value.type} {value.name}, ptr {self.at(pointer, index, element).name}, align {align}")

    def load_widened(self, pointer, index):
        """A vector of floats from pointer + index float16 numbers."""
        return self.cast("fpext", self.load(pointer, index, self.vector.replace(FLOAT, HALF), align=2), self.vector)

    def spread(self, value, lanes=None):
        """A single float or i32 in every lane, or in `lanes` of them."""
        lanes = lanes or self.lanes
        if lanes == 1:
            return value
        type = f"<{lanes} x {value.type}>"
        one = self.emit(f"insertelement {type} poison, {value.type} {value.name}, i64 0", type)
        return self.emit(f"shufflevector {type} {one.name}, {type} poison, <{lanes} x i32> zeroinitializer", type)

    def spread_truth(self, truth):
        """A truth in every lane."""
        wide = self.spread(self.cast("sext", truth, "i32"))
        return self.emit(f"icmp ne {wide.type} {wide.name}, {self.operand(0, wide.type)}", f"<{self.lanes} x i1>")

    def broadcast(self, pointer, index=0):
        """The float at pointer + index in every lane."""
        return self.spread(self.load(pointer, index, FLOAT))

    # --- arithmetic

    def fma(self, a, b, c):
        """a * b + c, rounded once where the processor can."""
        return self.call(f"llvm.fmuladd.{self.suffix(c.type)}", c.type, a, b, c)

    @staticmethod
    def suffix(type):
        """A type as intrinsics' names spell it: v16f32."""
        lanes = Function.lanes_of(type)
        return (f"v{lanes}" if type.startswith("<") else "") + ("f32" if "float" in type else "i32")

    def greater(self, a, b):
        """max(a, b) lane by lane; where b is NaN the result is NaN (a must not be)."""
        if self.target.family == "arm" and a.type.startswith("<"):
            return self.call(f"llvm.maximum.{self.suffix(a.type)}", a.type, a, b)
        return self.select(a > b, a, b)

    def largest(self, a, b):
        """max(a, b) lane by lane; where either is NaN the result is NaN."""
        if self.sure or (self.target.family == "arm" and a.type.startswith("<")):
            return self.greater(a, b)
        return self.select(self.unordered(a, a), a, self.greater(a, b))

    def unordered(self, a, b):
        """True where a or b is NaN."""
        return self.emit(f"fcmp uno {a.type} {a.name}, {b.name}", a._truths())

    def smaller(self, a, b):
        """min(a, b) lane by lane; where b is NaN the result is NaN."""
        if self.target.family == "arm" and a.type.startswith("<"):
            return self.call(f"llvm.minimum.{self.suffix(a.type)}", a.type, a, b)
        return self.select(a < b, a, b)

    def select(self, truth, a, b):
        """a where truth, else b, lane by lane."""
        return self.emit(f"select {truth.type} {truth.name}, {a.type} {a.name}, {b.type} {b.name}", a.type)

    def cast(self, how, value, type):
        """One of LLVM's conversions: sitofp, uitofp, zext, trunc, bitcast, ..."""
        return self.emit(f"{how} {value.type} {value.name} to {type}", type)

    def shuffle(self, a, b, places):
        """A vector of the lanes `places` of a and b laid end to end (None: any)."""
        mask = ", ".join("i32 poison" if place is None else f"i32 {place}" for place in places)
        inner = a.type.split(" x ")[1][:-1]
        return self.emit(f"shufflevector {a.type} {a.name}, {a.type} {b.name}, <{len(places)} x i32> <{mask}>",
                         f"<{len(places)} x {inner}>")

    # --- the way through

    @contextmanager
    def loop(self, start, stop, step=1, carried=()):
        """A loop; yields the running number, or with `carried` a Loop whose `sums` the body replaces by `set`."""
        self._count += 1
        body, end, before = f"loop{self._count}", f"done{self._count}", self._block
        known = isinstance(start, int) and isinstance(stop, int)
        if known and start >= stop:
            raise ValueError(f"{self.name}: a loop from {start} to {stop} never runs")
        first, last = self.operand(start, NUMBER), self.operand(stop, NUMBER)
        if known:
            self.emit(f"br label %{body}")
        else:
            some = self.emit(f"icmp slt i64 {first}, {last}", TRUTH)
            self.emit(f"br i1 {some.name}, label %{body}, label %{end}")
        self._label(body)
        heads = len(self._lines)  # the phi nodes go here when the end of the body is known
        number = Value(self, f"%n{self._count}", NUMBER)
        loop = Loop(self, number, carried)
        yield loop if carried else number
        after = self.emit(f"add nsw i64 {number.name}, {self.operand(step, NUMBER)}", NUMBER)
        more = self.emit(f"icmp slt i64 {after.name}, {last}", TRUTH)
        self.emit(f"br i1 {more.name}, label %{body}, label %{end}")
        phis = [f"  {number.name} = phi i64 [{first}, %{before}], [{after.name}, %{self._block}]"]
        phis += [f"  {held.name} = phi {held.type} [{initial.name}, %{before}], [{final.name}, %{self._block}]"
                 for held, initial, final in zip(loop.held, carried, loop.sums)]
        self._lines[heads:heads] = phis
        latch = self._block
        self._label(end)
        if known:
            loop.results = list(loop.sums)
        else:
            loop.results = [self.emit(f"phi {initial.type} [{initial.name}, %{before}], [{final.name}, %{latch}]",
                                      initial.type) for initial, final in zip(carried, loop.sums)]

    @contextmanager
    def when(self, truth):
        """What is written inside runs only where truth holds. It may store, but its Values end with it."""
        self._count += 1
        inside, end = f"when{self._count}", f"else{self._count}"
        self.emit(f"br i1 {truth.name}, label %{inside}, label %{end}")
        self._label(inside)
        yield
        self.emit(f"br label %{end}")
        self._label(end)


class Loop:
    """A loop that carries Values from one turn to the next: `sums` at its beginning, `set` at its end, then
    `results`."""

    def __init__(self, function, number, carried):
        self.number, self.results = number, []
        self.held = [Value(function, f"{number.name}c{i}", value.type) for i, value in enumerate(carried)]
        self.sums = list(self.held)


def _single(value):
    """The float32 nearest to value, as a float: LLVM wants float constants to be exact."""
    return struct.unpack("<f", struct.pack("<f", value))[0]
