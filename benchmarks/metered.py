"""Runs a Python program and writes down what it costs.

    python metered.py cpu|modules|calls OUT PYTHON ARGUMENTS...

Needs nothing but the standard library, so that it can meter any environment.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

#: System calls by which programs look for files, and what we count them as.
_KINDS = {
    **dict.fromkeys(("open", "openat"), "opens"),
    **dict.fromkeys(("stat", "lstat", "newfstatat", "statx", "access", "readlink"), "stats"),
}
#: A line of `python -X importtime`: the last column is the module.
_IMPORT = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)
#: A line of strace: a call with the path that it is about.
_CALL = re.compile(r'^\d+ +(\w+)\((?:AT_FDCWD, |\d+, )?"([^"]+)"', re.MULTILINE)
#: What lies in memory, and costs no file server anything.
_IN_MEMORY = ("/proc/", "/sys/", "/dev/")


def meter_cpu(out: Path, command: list[str]) -> int:
    """Count CPU seconds of the program and of all processes that it has waited for."""
    started = time.perf_counter()
    code = subprocess.run(command, check=False).returncode
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    write(out, {"cpu": used.ru_utime + used.ru_stime, "seconds": seconds})
    return code


def meter_modules(out: Path, command: list[str]) -> int:
    """Count the modules that the program and its workers import, each once."""
    command = [command[0], "-X", "importtime", *command[1:]]
    ran = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    write(out, {"modules": len(set(_IMPORT.findall(ran.stderr)))})
    return ran.returncode


def meter_calls(out: Path, command: list[str]) -> int:
    """Count the paths that the program and its workers open or look for, found or not."""
    trace = out.with_suffix(".strace")
    strace = ["strace", "-f", "-qq", "-e", f"trace={','.join(_KINDS)}", "-o", str(trace)]
    code = subprocess.run([*strace, *command], check=False).returncode
    counts = dict.fromkeys(("opens", "stats", "in memory"), 0)
    for name, path in _CALL.findall(trace.read_text(errors="replace")):
        counts["in memory" if path.startswith(_IN_MEMORY) else _KINDS[name]] += 1
    write(out, counts)
    return code


def write(out: Path, cost: Mapping[str, float]) -> None:
    """Write the file at once: somebody waits for it."""
    new = out.with_suffix(".new")
    new.write_text(json.dumps(cost))
    new.replace(out)


METERS = {"cpu": meter_cpu, "modules": meter_modules, "calls": meter_calls}

if __name__ == "__main__":
    sys.exit(METERS[sys.argv[1]](Path(sys.argv[2]), sys.argv[3:]))
