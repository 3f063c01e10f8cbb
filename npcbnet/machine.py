"""On which machine, with which versions and when was this measured? Light: nothing heavy is imported to find out."""
import os
import platform
from datetime import datetime, timezone
from importlib import metadata

from npcbnet import __version__

_CPUINFO = "/proc/cpuinfo"
_PACKAGES = ("numpy", "numba", "scipy", "scikit-image")


def describe():
    """A dict that json can write: cpu, architecture, cores, memory_gib, os, date (UTC, ISO 8601) and versions.

    cores: those this process may use. versions: {name: version}, None for a package that is not installed. A value that
    the system does not tell is None.
    """
    return {"cpu": _cpu(), "architecture": platform.machine() or None, "cores": _cores(), "memory_gib": _memory_gib(),
            "os": _operating_system(), "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "versions": {"npcbnet": __version__, "python": platform.python_version(),
                         **{name: _version(name) for name in _PACKAGES}}}


def in_words(machine):
    """describe()'s answer as one line: processor, cores, memory, system."""
    cores, memory = machine.get("cores"), machine.get("memory_gib")
    parts = [machine.get("cpu") or machine.get("architecture"), cores and f"{cores} core{'s' if cores > 1 else ''}",
             memory and f"{memory:g} GiB", machine.get("os")]
    return ", ".join(str(part) for part in parts if part)


def _cpu():
    """The processor's or board's name: a Raspberry Pi says "Model", a PC "model name", an old Arm kernel "Hardware"."""
    fields = {}
    try:
        with open(_CPUINFO, encoding="utf-8", errors="replace") as file:
            for line in file:
                name, colon, value = line.partition(":")
                if colon and value.strip():
                    fields.setdefault(name.strip(), value.strip())
    except OSError:  # no Linux
        pass
    return next((fields[name] for name in ("Model", "model name", "Hardware") if name in fields),
                platform.processor() or platform.machine() or None)


def _cores():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count()


def _memory_gib():
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def _operating_system():
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {platform.system()} {platform.release()}"
    except (OSError, KeyError):  # no Linux, or one that does not say
        return platform.platform()


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
