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


def tile(target, outputs, vectors):
    """(output channels, vectors) that are summed at once: as many as the registers hold, with little left over.

    A multiply-add waits about four cycles for the one before it, and two can start in each: eight sums or more must run
    side by side. 32 registers hold 20 to 25 of them beside their inputs, 16 registers hold nine.
    """
    most_outs, choices = (6, (5, 4, 3, 2, 1)) if target.registers >= 32 else (3, (3, 2, 1))
    room = 25 if target.registers >= 32 else 9
    outs = min(most_outs, outputs, key=None) if outputs <= most_outs else min(
        range(most_outs, max(1, most_outs // 2), -1), key=lambda o: (-(-outputs // o) * o, -o))
    best = min((v for v in choices if v * outs <= room), key=lambda v: (-(-vectors // v) * v, -v), default=1)
    return outs, best
