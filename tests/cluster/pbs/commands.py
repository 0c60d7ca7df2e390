"""The commands of the fake PBS, with the answers of OpenPBS word for word."""

from __future__ import annotations

import getopt
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.cluster.pbs.describe import described
from tests.cluster.pbs.mom import run_job
from tests.cluster.pbs.qsub import qsub
from tests.cluster.pbs.state import SERVER, Job, Server, server
from tests.cluster.pbs.text import record

_PAUSE = 0.02
#: Exit codes: the last eight bits of the server's error numbers.
_UNKNOWN, _HAS_FINISHED, _CONNECTION, _NO_NODE, _HAS_FINISHED_MEMBER = 153, 35, 162, 222, 55
#: What qdel says of jobs in states in which they are over, and its exit code.
_OVER = {
    "F": ("Job has finished", _HAS_FINISHED),
    "X": ("Request invalid for finished array subjob", _HAS_FINISHED_MEMBER),
    "C": ("Request invalid for state of job MSG=invalid state for job - COMPLETE", 168),
}
_ID = re.compile(r"(\d+)(\[\d*\])?(\..*)?")


def main(name: str, folder: Path, arguments: list[str]) -> int:
    """Do what a command does, and return its exit code."""
    if name == "mom":
        run_job(folder, arguments[0])
        return 0
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    with (folder / "calls.jsonl").open("a") as file:
        file.write(json.dumps([name, *arguments]) + "\n")
    if arguments == ["--version"]:
        return _say_version(folder)
    if (folder / "down").exists():
        return _refuse(name)
    if name not in {"qsub", "qdel"}:
        _wait_for_server(folder)
    code = _COMMANDS[name](folder, arguments)
    # A hung server does what it was asked for once it goes on, even if nobody
    # waits any longer. Nobody can see that it is done before.
    _wait_for_server(folder)
    return code


def _say_version(folder: Path) -> int:
    with server(folder) as pbs:
        is_torque = pbs.is_torque
    if is_torque:
        _complain("Version: 6.1.3\nCommit: 92415b23ea8fac06d58fd73ddf00e1f57ba4a7cd")
    else:
        _say("pbs_version = 23.06.06")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _wait_for_server(folder: Path) -> None:
    while (folder / "hung").exists():
        time.sleep(_PAUSE)


def _refuse(name: str) -> int:
    _complain("Connection refused")
    if name == "qdel":
        _complain(f"Couldn't connect to cluster: {SERVER}")
    elif name == "pbsnodes":
        _complain(f"pbsnodes: cannot connect to server {SERVER}, error=15010")
        return 1
    else:
        shown = SERVER[:-1] if name == "qselect" else SERVER  # it drops the last letter
        _complain(f"{name}: cannot connect to server {shown} (errno=15010)")
    return 255 if name == "qstat" else _CONNECTION


def _submit(folder: Path, arguments: list[str]) -> int:
    answer, complaint, code = qsub(folder, arguments, sys.stdin.buffer.read())
    lost = folder / "lose_answer"
    if lost.exists():
        lost.unlink()
        _complain("qsub: End of File")
        return _CONNECTION
    sys.stdout.write(answer)
    sys.stderr.write(complaint)
    return code


def _full_id(text: str) -> str | None:
    match = _ID.fullmatch(text)
    if match is None or match[3] not in (None, f".{SERVER}"):
        return None
    return f"{match[1]}{match[2] or ''}.{SERVER}"


def _qdel(folder: Path, arguments: list[str]) -> int:
    options, ids = getopt.getopt(arguments, "W:x")
    code = 0
    for text in ids:
        if _full_id(text) is None:
            _complain(f"qdel: illegally formed job identifier: {text}")
            code = 1
    with server(folder) as pbs:
        for job_id in filter(None, map(_full_id, ids)):
            words, refused = _delete_one(pbs, job_id, is_forced=("-W", "force") in options)
            if words:
                _complain(f"qdel: {words} {job_id}")
            code = refused or code
    return code


def _delete_one(pbs: Server, job_id: str, *, is_forced: bool) -> tuple[str, int]:
    """Delete a job or an array, or return why not, and the exit code for it."""
    job = pbs.jobs.get(job_id)
    if job is None:
        return "Unknown Job Id", _UNKNOWN
    if job["state"] in _OVER:
        return _OVER[job["state"]]
    if not set(job["nodes"] or ()) & set(pbs.settings["lost_nodes"]):
        for one in pbs.members(job) if job["is_array"] else [job]:
            delete(pbs, one)
    elif is_forced:
        pbs.finish(job, 256 + signal.SIGKILL, "terminated")
    else:
        return "Server could not connect to MOM", _NO_NODE
    return "", 0


def delete(pbs: Server, job: Job) -> None:
    """End a job: at once if it does not run, or through its mom."""
    if job["state"] in {"Q", "H", "W"}:
        pbs.finish(job, None, "deleted")
    elif job["state"] == "R":
        tell_mom(job, "delete")


def tell_mom(job: Job, request: str) -> None:
    """Let the mom of a job know what is wanted."""
    job["request"] = request
    if job["mom"] is not None:
        with suppress(ProcessLookupError):
            os.kill(job["mom"], signal.SIGUSR1)


def _qselect(folder: Path, arguments: list[str]) -> int:
    options = dict(getopt.getopt(arguments, "u:N:s:xTJ")[0])
    with server(folder) as pbs:
        for job in pbs.jobs.values():
            is_wanted = (
                (job["state"] not in "FC" or "-x" in options)
                and (not job["is_moved"] or "M" in options.get("-s", ""))
                and (job["array"] is None or "-T" in options)
                and options.get("-u", job["owner"]) == job["owner"]
                and options.get("-N", job["name"]) == job["name"]
                and ("M" if job["is_moved"] else job["state"]) in options.get("-s", job["state"])
            )
            if is_wanted:
                _say(job["id"])
    return 0


def _pbsnodes(folder: Path, arguments: list[str]) -> int:
    with server(folder) as pbs:
        nodes = pbs.settings["nodes"]
    for node, cores in nodes.items():
        _say(f"{node}\n     Mom = {node}.lab.test\n     ntype = PBS\n     state = free")
        _say("     pcpus = 2\n     resources_available.arch = linux")
        _say(f"     resources_available.host = {node}")
        _say("     resources_available.mem = 24682416kb")
        _say(f"     resources_available.ncpus = {cores}")
        _say(f"     resources_available.vnode = {node}\n     license = l\n")
    return 0


def _qstat(folder: Path, arguments: list[str]) -> int:
    with server(folder) as pbs:
        has_wide = not (pbs.is_torque or (folder / "old_qstat").exists())
    try:
        found, ids = getopt.getopt(arguments, "tfxBQ" + ("w" if has_wide else ""))
    except getopt.GetoptError as error:
        _complain(f"qstat: invalid option -- '{error.opt}'\nusage: \nqstat [-f] [-J]")
        return 2
    options = {name for name, _ in found}
    with server(folder) as pbs:
        if "-B" in options:
            size = pbs.settings["max_array_size"]
            some = {"server_state": "Active", **pbs.settings["server"], "max_array_size": size}
            _say_record("Server", SERVER, some)
            return 0
        if "-Q" in options:
            for name, some in pbs.settings["queues"].items():
                _say_record("Queue", name, {**some, "enabled": "True", "started": "True"})
            return 0
        if "-x" in options and not pbs.settings["history"]:
            ending = ids[0] if ids else ""
            _complain(f"qstat: PBS is not configured to maintain job history {ending}")
            return 0
        jobs, code = _wanted(pbs, ids, options)
        for job in jobs:
            array = pbs.jobs.get(job["array"] or "")
            text = record(job["id"], described(pbs, job, array), is_wide="-w" in options)
            sys.stdout.write(text)
    return code


def _say_record(kind: str, name: str, attributes: dict[str, str]) -> None:
    lines = [f"    {key} = {value}" for key, value in attributes.items()]
    _say("\n".join([f"{kind}: {name}", *lines, ""]))


def _wanted(pbs: Server, ids: list[str], options: set[str]) -> tuple[list[Job], int]:
    if not ids:
        roots = [j for j in pbs.jobs.values() if j["array"] is None and not j["is_moved"]]
        ids = [job["id"] for job in roots if job["state"] != "F" or "-x" in options]
    jobs, code = [], 0
    for text in ids:
        job_id = _full_id(text)
        job = pbs.jobs.get(job_id or "")
        if job_id is None:
            _complain(f"qstat: illegally formed job identifier: {text}")
            code = 1
        elif job is None:
            _complain(f"qstat: Unknown Job Id {job_id}")
            code = _UNKNOWN
        elif job["state"] == "F" and "-x" not in options:
            how = "use -x or -H to obtain historical job information"
            _complain(f"qstat: {job_id} Job has finished, {how}")
            code = _HAS_FINISHED
        elif job["is_moved"] and "-x" in options:
            jobs.append(job | {"state": "M"})
        elif job["is_moved"] and pbs.settings["other_server_is_down"]:
            _complain("Connection refused")
            _complain("qstat: cannot connect to server other-head (errno=15010)")
            code = 255
        else:
            members = pbs.members(job) if job["is_array"] and "-t" in options else []
            jobs += members if members and pbs.is_torque else [job, *members]
    return jobs, code


_COMMANDS: dict[str, Callable[[Path, list[str]], int]] = {
    "qsub": _submit,
    "qstat": _qstat,
    "qdel": _qdel,
    "qselect": _qselect,
    "pbsnodes": _pbsnodes,
}
