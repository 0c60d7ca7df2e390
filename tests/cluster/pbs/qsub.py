"""What qsub takes and refuses."""

from __future__ import annotations

import getopt
import os
import pwd
import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.pbs.state import BLANK, SERVER, Job, Server, server

USAGE = (
    "usage: qsub [-a date_time] [-A account_string] [-c interval]\n"
    "\t[-C directive_prefix] [-e path] [-f ] [-h ] [-I [-X]] [-j oe|eo] [-J X-Y[:Z]]\n"
    "\t[-k keep] [-l resource_list] [-m mail_options] [-M user_list]\n"
    "\t[-N jobname] [-o path] [-p priority] [-P project] [-q queue] [-r y|n]\n"
    "\t[-R o|e|oe] [-S path] [-u user_list] [-W otherattributes=value...]\n"
    "\t[-v variable_list] [-V ] [-z] [script | -- command [arg1 ...]]\n"
    "       qsub --version\n"
)
_OF_TORQUE = "a:A:b:c:C:d:D:e:fF:hIj:k:K:l:m:M:N:o:p:P:q:r:S:t:T:u:v:VW:xXz"
_OPTIONS = "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:P:q:r:R:S:u:W:v:Vz"
_NAME = re.compile(r"[A-Za-z0-9_+.-]+")
#: Versions with shorter names want a letter first.
_OLD_NAME = re.compile(r"[A-Za-z].{0,14}")
_LONGEST_NAME = 230
_LONGEST_PATH = 1024
_INDICES = re.compile(r"(\d+)-(\d+)(?::(\d+))?")
_MISSING_QUEUE, _TOO_LARGE, _TOO_MANY, _BAD_RESOURCE, _USAGE, _CONFLICT = 170, 3, 38, 187, 2, 5


class RefusedError(Exception):
    """The words and the exit code with which a submission is refused."""


def qsub(folder: Path, arguments: list[str], text: bytes) -> tuple[str, str, int]:
    """Submit what lies in a text, and return both outputs and the exit code."""
    try:
        with server(folder) as pbs:
            letters = _OF_TORQUE if pbs.is_torque else _OPTIONS
        options, text = _read(arguments, text, letters)
        with server(folder) as pbs:
            return _submit(pbs, options, arguments, text) + "\n", "", 0
    except RefusedError as error:
        words, code = error.args
        return "", f"qsub: {words}\n{USAGE if code == _USAGE else ''}", code


def _read(arguments: list[str], text: bytes, letters: str) -> tuple[dict[str, list[str]], bytes]:
    """Return the options of the command line, and those of the script that it lacks; the script."""
    options: dict[str, list[str]] = {}
    try:
        found, script = getopt.getopt(arguments, letters)
    except getopt.GetoptError as error:
        raise RefusedError(f"invalid option -- '{error.opt}'", _USAGE) from error
    if script:
        try:
            text = Path(script[0]).read_bytes()
        except OSError as error:
            raise RefusedError(f"script file:: {error.strerror}", 1) from error
    for name, value in found:
        options.setdefault(name, []).append(value)
    from_script: dict[str, list[str]] = {}
    for line in text.decode(errors="replace").splitlines():
        if line.startswith("#PBS "):
            for name, value in getopt.getopt(shlex.split(line[5:]), letters)[0]:
                from_script.setdefault(name, []).append(value)
        elif line and not line.startswith("#"):
            break  # no options are read after the first command
    return from_script | options, text


def _check(pbs: Server, options: dict[str, list[str]]) -> None:
    name = options.get("-N", ["STDIN"])[-1]
    longest_name = pbs.settings["longest_name"]
    wanted = _NAME if longest_name == _LONGEST_NAME else _OLD_NAME
    if not wanted.fullmatch(name):
        raise RefusedError("illegal -N value", _USAGE)
    if len(name) > longest_name:
        raise RefusedError("Job name is too long ", _USAGE)
    for option in ("-o", "-e"):
        if len(options.get(option, [""])[-1]) > _LONGEST_PATH:
            raise RefusedError(f"illegal {option} value", _USAGE)
    if _queue(pbs, options) not in pbs.settings["queues"]:
        raise RefusedError("Unknown queue", _MISSING_QUEUE)
    resources = _resources(options)
    known = {"nodes" if pbs.is_torque else "select", "walltime", "ncpus", "mem", "place"}
    if unknown := resources.keys() - known:
        raise RefusedError(f"Unknown resource Resource_List.{min(unknown)}", _BAD_RESOURCE)
    if "select" in resources and (old := resources.keys() & {"ncpus", "mem"}):
        words = '"-lresource=" cannot be used with "select" or "place", resource is: '
        raise RefusedError(words + min(old), _CONFLICT)


def _queue(pbs: Server, options: dict[str, list[str]]) -> str:
    """Return the queue in which a job ends up: one that routes hands it on."""
    name = options.get("-q", [pbs.settings["server"]["default_queue"]])[-1]
    destinations = pbs.settings["queues"].get(name, {}).get("route_destinations", name)
    return destinations.partition(",")[0]


def _resources(options: dict[str, list[str]]) -> dict[str, str]:
    parts = [part.partition("=") for value in options.get("-l", []) for part in value.split(",")]
    return {name: value for name, _, value in parts}


def _submit(pbs: Server, options: dict[str, list[str]], arguments: list[str], text: bytes) -> str:
    is_old = pbs.is_torque or (pbs.folder / "old_qsub").exists()
    if is_old and "d" in options.get("-k", [""])[-1]:
        raise RefusedError("illegal -k value", _USAGE)
    _check(pbs, options)
    indices = _indices(pbs, _said_indices(options))
    limit = pbs.settings["max_user_jobs"]
    n_there = sum(job["state"] not in "FX" and not job["is_array"] for job in pbs.jobs.values())
    if limit is not None and n_there + max(len(indices), 1) > limit:
        raise RefusedError("would exceed complex's per-user limit", _TOO_MANY)
    number = pbs.new_number()
    script = f"{number}.script"
    (pbs.folder / "jobs" / script).write_bytes(text)
    job = _job(pbs, options, number) | {"script": script, "arguments": shlex.join(arguments)}
    job["is_torque"] = pbs.is_torque
    if not indices:
        pbs.jobs[job["id"]] = job
        return job["id"]
    array = job | {
        "id": f"{number}[].{SERVER}",
        "is_array": True,
        "indices": _said_indices(options),
    }
    pbs.jobs[array["id"]] = array
    for index in indices:
        member = job | {"id": f"{number}[{index}].{SERVER}", "index": index, "array": array["id"]}
        pbs.jobs[member["id"]] = member | {"hold": "n", "state": "Q"}
    return array["id"]


def _said_indices(options: dict[str, list[str]]) -> str:
    return (options.get("-J") or options.get("-t") or [""])[-1]


def _indices(pbs: Server, value: str) -> Sequence[int]:
    if not value:
        return range(0)
    if pbs.is_torque:
        return [int(index) for index in value.split(",")]
    match = _INDICES.fullmatch(value)
    if match is None or int(match[1]) >= int(match[2]):
        raise RefusedError("illegal -J value", _USAGE)
    indices = range(int(match[1]), int(match[2]) + 1, int(match[3] or 1))
    if len(indices) > min(pbs.settings["max_array_size"], pbs.settings["queue_max_array_size"]):
        raise RefusedError("Array job exceeds server or queue size limit", _TOO_LARGE)
    return indices


def _job(pbs: Server, options: dict[str, list[str]], number: int) -> Job:
    resources = _resources(options)
    queue = _queue(pbs, options)
    nodes = resources.get("nodes", "").replace("ppn", "ncpus")
    select = resources.get("select") or nodes or f"1:ncpus={resources.get('ncpus', 1)}"
    chunks = _chunks(select)
    name = options.get("-N", ["STDIN"])[-1]
    workdir = str(Path.cwd())
    now = time.time()
    return BLANK | {
        "id": f"{number}.{SERVER}",
        "name": name,
        "owner": pwd.getpwuid(os.getuid()).pw_name,
        "state": "H" if "-h" in options else "Q",
        "hold": "u" if "-h" in options else "n",
        "select": select,
        "chunks": chunks,
        "cores": sum(cores for cores, _ in chunks),
        "queue": queue,
        "walltime": _seconds(resources.get("walltime") or _default_walltime(pbs, queue)),
        "out": options.get("-o", [f"{workdir}/{name}.o{number}"])[-1],
        "err": options.get("-e", [f"{workdir}/{name}.e{number}"])[-1],
        "join": options.get("-j", ["n"])[-1],
        "keep": options.get("-k", ["n"])[-1],
        "workdir": workdir,
        "created": now,
        "changed": now,
        "substate": 10,
    }


def _chunks(select: str) -> list[tuple[int, int]]:
    """Return the cores of each chunk, and how many lines it has in the file of nodes."""
    chunks = []
    for part in select.split("+"):
        count, *rest = part.split(":")
        resources = dict(word.split("=") for word in rest)
        sizes = int(resources.get("ncpus", 1)), int(resources.get("mpiprocs", 1))
        chunks += [sizes] * int(count)
    return chunks


def _default_walltime(pbs: Server, queue: str) -> str | None:
    """Return what a job gets that asks for no time, as set_resc_deflt of OpenPBS finds it."""
    attributes = pbs.settings["queues"][queue], pbs.settings["server"]
    kinds = ("default",) if pbs.is_torque else ("default", "max")
    said = [some.get(f"resources_{kind}.walltime") for kind in kinds for some in attributes]
    return next(filter(None, said), None)


def _seconds(walltime: str | None) -> int | None:
    if walltime is None:
        return None
    hours, minutes, seconds = map(int, walltime.split(":"))
    return (hours * 60 + minutes) * 60 + seconds
