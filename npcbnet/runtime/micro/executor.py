"""The executor: claim a group of images, do the steps of the program, until no image is left.

    program   [ step | pointers and sizes ... ]      one row of WORDS int64 a step: the address of a micro-kernel,
              [ step | pointers and sizes ... ]      then what that kernel wants to know
              [ ...                           ]

A step returns how many rows to go on (1: the next one, 0: this group is done, less: back). Threads that share `counter`
claim groups from it, so none waits for another before all is claimed. While the steps run, denormal numbers count as
zero (flushing them is 50 times faster than computing with them on many processors); the caller's own mode is put back.
"""
from npcbnet.runtime import context

WORDS = 28  # int64 in a row of the program

_HEAD = """
{declare}
define i64 @{name}(ptr %row) nounwind {{
start:
  %a1 = getelementptr i64, ptr %row, i64 1
  %a2 = getelementptr i64, ptr %row, i64 2
  %a3 = getelementptr i64, ptr %row, i64 3
  %a4 = getelementptr i64, ptr %row, i64 4
  %program_address = load i64, ptr %row
  %context_address = load i64, ptr %a2
  %program = inttoptr i64 %program_address to ptr
  %context = inttoptr i64 %context_address to ptr
  %strange_at = getelementptr i64, ptr %context, i64 {strange}
  store i64 0, ptr %strange_at
  {enter}
"""

_CLAIM = """
  %drain_address = load i64, ptr %a1
  %counter_address = load i64, ptr %a3
  %size = load i64, ptr %a4
  %drain = inttoptr i64 %drain_address to ptr
  %counter = inttoptr i64 %counter_address to ptr
  %count_at = getelementptr i64, ptr %context, i64 {count}
  %first_at = getelementptr i64, ptr %context, i64 {first}
  %here_at = getelementptr i64, ptr %context, i64 {here}
  %last_at = getelementptr i64, ptr %context, i64 {last}
  %count = load i64, ptr %count_at
  br label %claim
claim:
  %begin = atomicrmw add ptr %counter, i64 %size monotonic
  %left = sub i64 %count, %begin
  %some = icmp sgt i64 %left, 0
  br i1 %some, label %group, label %end
group:
  %whole = icmp sgt i64 %left, %size
  %here = select i1 %whole, i64 %size, i64 %left
  store i64 %begin, ptr %first_at
  store i64 %here, ptr %here_at
  br label %step
end:
  store i64 1, ptr %last_at
  %without = icmp eq i64 %drain_address, 0
  br i1 %without, label %out, label %step
over:
  %finished = load i64, ptr %last_at
  %again = icmp eq i64 %finished, 0
  br i1 %again, label %claim, label %out
"""

_ALONE = """
  br label %step
over:
  br label %out
"""

_STEPS = """
step:
  %at = phi ptr {entries}, [%next, %step]
  %address = load i64, ptr %at
  %operands = getelementptr i64, ptr %at, i64 1
  %kernel = inttoptr i64 %address to ptr
  %skip = call i64 %kernel(ptr %operands)
  %far = mul i64 %skip, {words}
  %next = getelementptr i64, ptr %at, i64 %far
  %done = icmp eq i64 %skip, 0
  br i1 %done, label %over, label %step
out:
  {leave}
  %strange = load i64, ptr %strange_at
  ret i64 %strange
}}
"""

# Flush-to-zero: bits 15 and 6 of x86's MXCSR (results, inputs), bit 24 of Arm's FPCR.
_X86 = """%mode = alloca i32
  %fast = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %mode)
  %old = load i32, ptr %mode
  %new = or i32 %old, 32832
  store i32 %new, ptr %fast
  call void @llvm.x86.sse.ldmxcsr(ptr %fast)"""
_ARM = """%old = call i64 @llvm.aarch64.get.fpcr()
  %new = or i64 %old, 16777216
  call void @llvm.aarch64.set.fpcr(i64 %new)"""
MODES = {
    "x86": ("declare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)", _X86,
            "call void @llvm.x86.sse.ldmxcsr(ptr %mode)"),
    "arm": ("declare i64 @llvm.aarch64.get.fpcr()\ndeclare void @llvm.aarch64.set.fpcr(i64)", _ARM,
            "call void @llvm.aarch64.set.fpcr(i64 %old)"),
    "other": ("", "", "")}


def text(family, alone):
    """The executor as LLVM IR. family: "x86", "arm" (64 bit) or "other". alone: one group whose FIRST and HERE are set.

    row: program, drain (where to go on when all is claimed; 0: nowhere), context, counter, images claimed at once.
    Returns the context's STRANGE.
    """
    declare, enter, leave = MODES[family]
    entries = "[%program, %start]" if alone else "[%program, %group], [%drain, %end]"
    return (_HEAD + (_ALONE if alone else _CLAIM) + _STEPS).format(
        name="executor", declare=declare, enter=enter, leave=leave, entries=entries, words=WORDS, count=context.COUNT,
        first=context.FIRST, here=context.HERE, last=context.LAST, strange=context.STRANGE)
