"""Micro-kernels as machine code: written and compiled when first asked for, then kept on disk.

A file in the cache is named by a hash of all that its code depends on: the source of this folder, the kernel's name and
fixed sizes, the processor, the versions of llvmlite and LLVM. An upgrade, an edit or an SD card in another board
changes the name, so old code is never found. A file that is damaged is compiled anew.
"""
import ctypes
import hashlib
import os
import threading
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path

from npcbnet.files import atomic_write
from npcbnet.kernels._jit import cache_folder
from npcbnet.runtime.assembler import Function
from npcbnet.runtime.micro import executor
from npcbnet.runtime.target import Target, host

KERNEL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
_HERE = Path(__file__).parent
_DIGEST = 32  # bytes of sha256 before the machine code in a cache file
_warned = False


class Library:
    """The micro-kernels for one Target. `address` gives a kernel's; what was loaded stays loaded."""

    def __init__(self, target: Target):
        self.target, self._addresses, self._engine = target, {}, None
        self._lock = threading.Lock()  # several threads may compile their models at once
        self.compiled = []  # names of the kernels that were not in the cache

    def address(self, name, /, **fixed):
        """The address of micro/{name}.py's kernel; fixed: what it, or its Function, wants to know when it is
        written."""
        key = name + "".join(f"_{field}{value}" for field, value in sorted(fixed.items()))
        with self._lock:
            if key not in self._addresses:
                self._addresses[key] = self._load(key, name, fixed)
            return self._addresses[key]

    def text(self, name, /, **fixed):
        """A kernel as LLVM IR."""
        if name == "executor":
            return executor.text(self.target.family, **fixed)
        function = Function(name, fixed.pop("lanes", self.target.lanes), self.target, fixed.pop("sure", False))
        return import_module(f"npcbnet.runtime.micro.{name}").write(function, **fixed)

    def _load(self, key, name, fixed):
        digest = self._hash(key)
        path, symbol = _folder() and _folder() / f"{digest}.o", f"{name}_{digest[:16]}"
        code = _read(path)
        if code is None:
            text = self.text(name, **fixed).replace(f"@{name}(ptr", f"@{symbol}(ptr", 1)  # one engine, all sizes
            code = emit(text, self.target)
            self.compiled.append(key)
            _keep(path, code)
        llvm = _llvm()
        if self._engine is None:
            self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine(self.target))
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        return self._engine.get_function_address(symbol)

    def _hash(self, key):
        llvm = _llvm()
        import llvmlite
        parts = (_source(), key, self.target, llvmlite.__version__, llvm.llvm_version_info)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


@cache
def library():
    """The Library of this machine. Raises ImportError where there can be none."""
    return Library(host())


def emit(text, target, assembly=False):
    """LLVM IR as machine code (bytes of an object file), or as readable assembly for any Target."""
    llvm = _llvm()
    module = llvm.parse_assembly(text)
    module.verify()
    machine = _machine(target)
    module.triple, module.data_layout = target.triple, str(machine.target_data)
    return machine.emit_assembly(module) if assembly else machine.emit_object(module)


def _machine(target):
    llvm = _llvm()
    if target.triple != llvm.get_process_triple():
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic")


@cache
def _llvm():
    """llvmlite, ready to compile."""
    import llvmlite.binding as llvm
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@cache
def _source():
    """Hash of every source file of this folder: what the kernels are written by."""
    total = hashlib.sha256()
    for path in sorted(_HERE.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()


@cache
def _folder():
    """Where machine code is kept: beside Numba's if that was told, else the user's cache folder. None: nowhere."""
    try:
        return cache_folder(os.environ.get("NUMBA_CACHE_DIR"))
    except (OSError, RuntimeError) as error:  # RuntimeError: no home
        _warn(error)
        return None


def _read(path):
    """The machine code in a cache file; None where there is none, or a damaged one."""
    try:
        data = path.read_bytes() if path else b""
    except OSError:
        return None
    code = data[_DIGEST:]
    return code if code and hashlib.sha256(code).digest() == data[:_DIGEST] else None


def _keep(path, code):
    if path:
        try:
            with atomic_write(path) as file:
                file.write(hashlib.sha256(code).digest() + code)
        except Exception as error:  # a full disk must not keep anyone from predicting
            _warn(error)


def _warn(error):
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(f"npcbnet: machine code cannot be kept ({error}), so the next start compiles it anew; "
                      "set NUMBA_CACHE_DIR to a folder that can be written", RuntimeWarning, stacklevel=6)
