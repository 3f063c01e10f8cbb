"""The engine's code for a Raspberry Pi 4, looked at without one: which kernels a model runs, and what their loops do.

The kernels are compiled for a Cortex-A72 as assembly. What counts are the loops that hold no other and multiply. They
should be made of vector multiply-adds (`fmla v.4s`), none float by float (`fmadd`), and their sums should stay in
registers: a vector that goes to the stack and back in every turn is a spill.
"""
import re
from dataclasses import dataclass

from npcbnet.runtime.library import Library, emit
from npcbnet.runtime.models import program_of
from npcbnet.runtime.target import CORTEX_A72

HOT = ("conv", "dense", "depthwise", "winograd")  # what the names of kernels begin with that take a network's time
FEWEST = 4  # multiply-adds that make a loop one of those that count; a kernel has at least one
# Vectors to or from the stack for each instruction, at most: where sums of products are made (half of a loop
# multiplies), and elsewhere (Winograd's transforms, whose constants do not all fit the registers).
MOST_SPILLED = {"products": 0.0, "else": 0.2}

_LABEL = re.compile(r"^(\.L\w+):")
_BRANCH = re.compile(r"^\s+(?:b(?:\.\w+)?|cbn?z|tbn?z|j\w+)\s+(?:\w+, )?(?:#\d+, )?(\.L\w+)")
_STACK = re.compile(r"(?:st|ld)(u?r|p)\s+q.*\[(?:sp|x29)")


class Listing:
    """In a Library's place: compiles nothing, and notes which kernels a program asks for; their addresses are numbers.

    asked: (name, ((fixed size, value), ...)) of each.
    """

    def __init__(self, target=CORTEX_A72):
        self.target, self.asked = target, []

    def address(self, name, /, **fixed):
        """The kernel's place in `asked`."""
        key = name, tuple(sorted(fixed.items()))
        if key not in self.asked:
            self.asked.append(key)
        return self.asked.index(key)


@dataclass(frozen=True)
class Loop:
    """What a loop does in one turn: multiply-adds of vectors and of single floats, vectors spilled.

    code: its instructions, without branches.
    """

    vector: int
    single: int
    spilled: int
    code: tuple

    def faults(self):
        """What is wrong with it, as words; empty if nothing is."""
        found = [f"{self.single} multiply-adds float by float"] if self.single else []
        kind = "products" if 2 * self.vector >= len(self.code) else "else"
        if self.spilled > MOST_SPILLED[kind] * len(self.code):
            found.append(f"{self.spilled} vectors to or from the stack in {len(self.code)} instructions")
        return found


def steps(model, vectors):
    """[(kernel's name, fixed sizes, row)] of a model's program: vectors 0 for one image, 1 for a group of four."""
    listing = Listing()
    rows = program_of(model, listing, vectors).rows
    return [(*listing.asked[row[0]], row[1:]) for row in rows]


def is_hot(name, fixed):
    """Is it a kernel that a network's time goes into? (Some take one float at a time by intention: lanes 1.)"""
    return name.startswith(HOT) and dict(fixed).get("lanes") != 1


def assembly(name, fixed):
    """A kernel in the Cortex-A72's assembly. Needs llvmlite."""
    return emit(Library(CORTEX_A72).text(name, **dict(fixed)), CORTEX_A72, assembly=True)


def inner_loops(text):
    """Instructions of each loop that holds no other: from a label to the branch back to it."""
    lines, loops = text.splitlines(), []
    starts = {match[1]: number for number, line in enumerate(lines) if (match := _LABEL.match(line))}
    backs = [(starts[match[1]], number) for number, line in enumerate(lines)
             if (match := _BRANCH.match(line)) and starts.get(match[1], number) < number]
    for start, end in backs:
        if not any(start <= other and last < end for other, last in backs):
            loops.append([line.strip() for line in lines[start:end + 1] if re.match(r"^\s+[a-z]", line)])
    return loops


def hot_loops(text):
    """The Loops of a kernel's assembly that count, the one with the most multiply-adds first."""
    loops = [_loop(lines) for lines in inner_loops(text)]
    return sorted((loop for loop in loops if loop.vector + loop.single >= FEWEST),
                  key=lambda loop: loop.vector + loop.single, reverse=True)


def _loop(lines):
    def count(pattern):
        return sum(bool(re.match(pattern, line)) for line in lines)

    spilled = sum(2 if match[1] == "p" else 1 for line in lines if (match := _STACK.match(line)))
    return Loop(count(r"fml[as]\s+v\d+\.4s"), count(r"fn?m(?:add|sub)\s|fml[as]\s+s\d"), spilled,
                tuple(line for line in lines if not _BRANCH.match(f"  {line}")))


def faults(name, fixed):
    """What is wrong with a hot kernel's code, as words; empty if nothing is."""
    loops = hot_loops(assembly(name, fixed))
    return [fault for loop in loops for fault in loop.faults()] if loops else ["no loop of multiply-adds"]
