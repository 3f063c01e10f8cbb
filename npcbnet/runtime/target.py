"""For which processor is code written: how wide its vectors are, and how many of them it has."""
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Target:
    """A processor as LLVM names it.

    lanes: floats in one vector register; registers: how many of those there are; family: "x86", "arm" or "other".
    """

    triple: str
    cpu: str
    features: str
    lanes: int
    registers: int
    family: str

    @property
    def halves(self):
        """Does it widen float16 to float32 in hardware?"""
        return self.family == "arm" or not {"+f16c", "+avx512f"}.isdisjoint(self.features.split(","))


CORTEX_A72 = Target("aarch64-unknown-linux-gnu", "cortex-a72", "", 4, 32, "arm")  # the Raspberry Pi 4's


@cache
def host():
    """The Target of this machine. Raises ImportError where llvmlite is missing or too old for `ptr` types."""
    import llvmlite.binding as llvm
    if llvm.llvm_version_info < (15,):
        raise ImportError("llvmlite is too old (its LLVM is below 15)")
    triple, features = llvm.get_process_triple(), llvm.get_host_cpu_features()
    have = {name for name, present in features.items() if present}
    if triple.startswith(("x86_64", "amd64")):
        lanes, registers = (16, 32) if "avx512f" in have else (8, 16) if {"avx", "fma"} <= have else (4, 16)
        family = "x86"
    elif triple.startswith(("aarch64", "arm64")):
        lanes, registers, family = 4, 32, "arm"
    else:
        raise ImportError(f"no engine for {triple.split('-')[0]} processors")
    return Target(triple, llvm.get_host_cpu_name(), features.flatten(), lanes, registers, family)


def tile(target, vectors, outputs):
    """(most outputs, vectors) that are summed at once, given how many vectors and outputs there are to do in all.

    As many sums as the registers hold beside `vectors` inputs and a weight, and few vectors done in vain. A
    multiply-add waits about four cycles for the one before it, and two can start in each: eight sums or more must run
    side by side.
    """
    room = target.registers - 1
    if outputs == 1:  # a depthwise convolution
        sizes = range(min(12, room // 2), 0, -1)
        best = min(sizes, key=lambda size: (-(-vectors // size) * size + (vectors // 3 if size < min(6, vectors) else
        0),
                                            -size))
        return 1, best
    sizes = (5, 4, 3, 2, 1) if room > 16 else (3, 2, 1)
    best = min(sizes, key=lambda size: (-(-vectors // size) * size, -size))
    return min(24, max(1, room // best - 1)), best
