"""One LLVM register as a Python object: arithmetic on it writes the instruction."""

TRUTH = "i1"


class Value:
    """One register of the function under construction: its name in LLVM's text, and its type."""

    __slots__ = ("function", "name", "type")

    def __init__(self, function, name, type):
        self.function, self.name, self.type = function, name, type

    def _with(self, other, whole, real, swap=False):
        f = self.function
        a, b = self.name, f.operand(other, self.type)
        return f.emit(f"{real if 'float' in self.type else whole} {self.type} {b if swap else a}, {a if swap else b}",
                      self.type)

    def __add__(self, other):
        return self if isinstance(other, int) and other == 0 else self._with(other, "add nsw", "fadd contract")

    def __sub__(self, other):
        return self if isinstance(other, int) and other == 0 else self._with(other, "sub nsw", "fsub contract")

    def __mul__(self, other):
        return self if isinstance(other, int) and other == 1 else self._with(other, "mul nsw", "fmul contract")

    def __rsub__(self, other):
        return self._with(other, "sub nsw", "fsub contract", swap=True)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other):
        return self._with(other, "sdiv", "fdiv")

    def __floordiv__(self, other):
        return self._with(other, "sdiv", "fdiv")

    def __mod__(self, other):
        return self._with(other, "srem", "frem")

    def __and__(self, other):
        return self._with(other, "and", "and")

    def __or__(self, other):
        return self._with(other, "or", "or")

    def _truths(self):
        """The type of a comparison's result."""
        return self.type[:self.type.index(" x ")] + " x i1>" if self.type.startswith("<") else TRUTH

    def _compare(self, other, whole, real):
        f = self.function
        real_type = "float" in self.type
        return f.emit(f"{'fcmp' if real_type else 'icmp'} {real if real_type else whole} {self.type} {self.name}, "
                      f"{f.operand(other, self.type)}", self._truths())

    def __lt__(self, other):
        return self._compare(other, "slt", "olt")

    def __gt__(self, other):
        return self._compare(other, "sgt", "ogt")

    def __le__(self, other):
        return self._compare(other, "sle", "ole")

    def __ge__(self, other):
        return self._compare(other, "sge", "oge")

    def same(self, other):
        """Equal? (== stays Python's own.)"""
        return self._compare(other, "eq", "oeq")
