"""Jobs of `PBS` whose time only the site knows are warned before its end, too."""

from __future__ import annotations

import subprocess

import pytest

from adaptive_scheduler.scheduler import PBS
from adaptive_scheduler.scheduler.pbs.queue import parse_records
from adaptive_scheduler.scheduler.pbs.resources import (
    PbsResources,
    default_walltimes,
    walltime_seconds,
)
from adaptive_scheduler.scheduler.script import warning_lines_by_queue
from tests.scheduler.contract import alive, make_batch
from tests.scheduler.pbs_answers import answer_to
from tests.waiting import wait_until

DEFAULT = "resources_default.walltime"
LONGEST = "resources_max.walltime"


# What the site says.


@pytest.mark.parametrize(
    ("queue", "server", "seconds"),
    [
        ({DEFAULT: "01:00:00"}, {DEFAULT: "02:00:00"}, 3600),
        ({}, {DEFAULT: "02:00:00"}, 7200),
        ({LONGEST: "336:00:00"}, {DEFAULT: "00:10:00"}, 600),
        ({LONGEST: "336:00:00"}, {LONGEST: "00:10:00"}, 336 * 3600),
        ({}, {LONGEST: "00:10:00"}, 600),
        ({}, {}, None),
        ({DEFAULT: "for ever"}, {}, None),
    ],
)
def test_pbs_gives_jobs_the_first_time_that_is_set(queue, server, seconds):
    found = default_walltimes({"long": queue}, server, is_torque=False)
    assert found.get("long") == seconds


def test_to_torque_the_longest_time_is_no_default():
    queues = {"a": {LONGEST: "01:00:00"}, "b": {DEFAULT: "00:01:00"}}
    assert default_walltimes(queues, {LONGEST: "01:00:00"}, is_torque=True) == {"b": 60}


@pytest.mark.parametrize(
    ("text", "seconds"), [("336:00:00", 1_209_600), ("10:00", 600), ("90", 90), ("00:00:01.5", 1)]
)
def test_times_as_pbs_writes_them(text, seconds):
    assert walltime_seconds(text) == seconds


def test_a_queue_and_a_server_are_read_as_a_real_one_shows_them():
    said = answer_to("qstat_queue", "qstat -Q;").stdout
    queue = parse_records(said, "Queue")["workq"]
    assert queue["queue_type"] == "Execution"
    assert queue["state_count"].endswith("Exiting:0 Begun:0 ")
    server = parse_records(answer_to("qstat_server", "qstat -B;").stdout, "Server")["pbs-head"]
    assert (server["max_array_size"], server["default_queue"]) == ("10000", "workq")


@pytest.mark.parametrize(
    ("wanted", "is_default"),
    [
        ({}, True),
        ({"extra_scheduler": ("-q long", "-l mem=1gb")}, True),
        ({"time": 60}, False),
        ({"extra_scheduler": ("-l walltime=1:0:0",)}, False),
        ({"extra_scheduler": ("-l min_walltime=1:0:0,max_walltime=9:0:0",)}, False),
    ],
)
def test_the_site_decides_where_the_user_says_nothing(wanted, is_default):
    assert PbsResources(cores=1, **wanted).has_default_walltime == is_default


# What a job does.


@pytest.mark.system
@pytest.mark.parametrize(
    ("queue", "seconds"), [("short", "540"), ("it's", "3540"), ("long", "3540"), ("other", "")]
)
def test_a_job_looks_in_which_queue_it_is(queue, seconds):
    limits = {"short": 600, "long": 3600, "it's": 3600, "tiny": 3}
    lines = warning_lines_by_queue(limits, None, queue="$PBS_QUEUE")
    script = "\n".join(["sleep() { echo $1 >&3; false; }", *lines, "wait"])
    said = subprocess.run(
        ["bash", "-c", f"exec 3>&1\n{script}"],
        env={"PBS_QUEUE": queue},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == seconds


@pytest.mark.parametrize(
    ("site", "wanted"),
    [
        ({"queues": {}, "server": {DEFAULT: "00:10:00"}}, {}),
        (
            {
                "queues": {
                    "all": {"queue_type": "Route", "route_destinations": "short,workq"},
                    "short": {LONGEST: "00:10:00"},
                },
                "server": {DEFAULT: ""},
            },
            {"extra_scheduler": ["-q all"]},
        ),
    ],
    ids=["the server's default", "the longest time of the queue where a job is sent"],
)
def test_a_job_is_warned_before_the_end_of_its_default_time(pbs, tmp_path, listening, site, wanted):
    pbs.set(
        queues={"workq": {"queue_type": "Execution"}} | site["queues"],
        server={"default_queue": "workq"} | site["server"],
    )
    scheduler = PBS(1, signal_before_end=599, **wanted)
    (job_id,) = scheduler.submit(make_batch(scheduler, tmp_path / "work", listening)).values()
    wait_until(lambda: job_id not in alive(scheduler))
    assert (tmp_path / "work" / "warned").exists()
    assert pbs.job(job_id)["walltime"] == 600


def test_who_wants_no_warning_gets_none(pbs, tmp_path):
    pbs.set(server={"default_queue": "workq", DEFAULT: "00:10:00"})
    for wanted, is_warned in (
        ({"signal_before_end": 0}, False),
        ({"walltime": 60}, False),
        ({}, True),
    ):
        scheduler = PBS(1, **wanted)
        (job_id,) = scheduler.submit(make_batch(scheduler, tmp_path / "work", "true")).values()
        script = (pbs.folder / "jobs" / pbs.job(job_id)["script"]).read_text()
        assert ("PBS_QUEUE" in script) == is_warned


def test_a_site_that_does_not_say_its_times_gets_the_jobs_all_the_same(pbs, tmp_path):
    qstat = pbs.folder / "bin" / "qstat"
    qstat.write_text("#!/bin/sh\necho 'qstat: Unauthorized Request' >&2\nexit 159\n")
    scheduler = PBS(1)
    assert scheduler.submit(make_batch(scheduler, tmp_path / "work", "true"))
