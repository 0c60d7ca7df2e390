"""The parts of `PBS` that need no server: arrays, resources, scripts, sites, complaints."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import (
    InvalidInputError,
    SchedulerUnavailableError,
    SubmissionRejectedError,
)
from adaptive_scheduler.scheduler import PBS, Batch
from adaptive_scheduler.scheduler.command import Commands, Finished
from adaptive_scheduler.scheduler.pbs.commands import (
    GONE,
    Dialect,
    array_of,
    array_option,
    arrays,
    in_halves,
    parse_submit,
    read_mark,
    sent_script,
    simpler,
    submit_command,
    write_mark,
)
from adaptive_scheduler.scheduler.pbs.queue import takes_no_wide_lines
from adaptive_scheduler.scheduler.pbs.resources import PbsResources, PbsSite, parse_nodes
from tests.scheduler.pbs_answers import Answer, answer_to, answers


def make_batch(**fields):
    values = {
        "job_name": "sweep",
        "numbers": (0,),
        "script": "#!/bin/bash\n",
        "script_path": Path("/run/scripts/0.pbs"),
        "resources": PbsResources(cores=2),
        "workdir": Path("/work dir"),
        "log_folder": Path("/run/logs"),
        "token": "abc",
    }
    return Batch(**values | fields)


# Arrays.


@given(st.sets(st.integers(0, 300)), st.integers(1, 50))
def test_every_number_is_in_one_block_that_is_not_too_large(numbers, size):
    found = list(arrays(sorted(numbers), size))
    assert sorted(n for jobs in found for n in jobs.numbers) == sorted(numbers)
    assert all(len(jobs.numbers) <= size for jobs in found)
    assert all(jobs.is_array == (len(jobs.numbers) > 1) for jobs in found)


@pytest.mark.parametrize(
    ("numbers", "options"),
    [
        (range(100), ["0-99"]),
        (range(0, 30, 3), ["0-27:3"]),
        ([0, 2, 3, 4, 6], ["0-6:2", None]),
        ([*range(5), *range(6, 10)], ["0-4", "6-9"]),
        ([7], [None]),
        ([1_000_000, 1_000_001], ["1000000-1000001"]),
    ],
)
def test_few_calls_submit_many_jobs(numbers, options):
    found = list(arrays(numbers, 10_000))
    assert [array_option(jobs.numbers) if jobs.is_array else None for jobs in found] == options


def test_many_numbers_without_order_take_no_time():
    found = arrays((i * i for i in range(10_000)), 10_000)
    assert sum(len(jobs.numbers) for jobs in found) == 10_000


def test_an_array_that_is_too_large_for_a_queue_is_submitted_in_halves():
    too_large = Finished(["qsub"], 1, "", "qsub: Array job exceeds server or queue size limit")
    halves = in_halves(array_of(range(0, 9, 3)), too_large)
    assert halves == [array_of(range(0, 3, 3)), array_of(range(3, 9, 3))]
    assert in_halves(array_of(range(7, 8)), too_large) == []
    assert in_halves(array_of(range(9)), Finished(["qsub"], 1, "", "qsub: Unknown queue")) == []


# Resources.


@pytest.mark.parametrize(
    ("wanted", "options"),
    [
        ({"cores": 2}, ["-l select=1:ncpus=2"]),
        ({"cores": 2, "memory": "4G"}, ["-l select=1:ncpus=2:mem=4gb"]),
        ({"cores": 2, "memory": "4096 b"}, ["-l select=1:ncpus=2:mem=4096b"]),
        ({"cores": 2, "memory": "4 GiB"}, ["-l select=1:ncpus=2:mem=4gb"]),
        ({"cores": 2, "memory": "500 MB"}, ["-l select=1:ncpus=2:mem=500mb"]),
        ({"cores": 2, "cores_per_node": 8}, ["-l select=1:ncpus=2"]),
        (
            {"cores": 8, "cores_per_node": 4, "executor_type": "mpi4py"},
            ["-l select=2:ncpus=4:mpiprocs=4"],
        ),
        (
            {"cores": 6, "cores_per_node": 4, "executor_type": "mpi4py", "memory": "1gb"},
            ["-l select=1:ncpus=4:mpiprocs=4:mem=1gb+1:ncpus=2:mpiprocs=2:mem=1gb"],
        ),
        (
            {"cores": 3, "cores_per_node": 4, "executor_type": "mpi4py"},
            ["-l select=1:ncpus=3:mpiprocs=3"],
        ),
        ({"cores": 4, "select": "1:ncpus=4:ngpus=1"}, ["-l select=1:ncpus=4:ngpus=1"]),
        (
            {"cores": 1, "time": 3600, "queue": "long"},
            ["-l select=1:ncpus=1", "-l walltime=01:00:00", "-q long"],
        ),
        ({"cores": 1, "extra_scheduler": ("-l select=1:ncpus=3",)}, []),
        ({"cores": 1, "extra_scheduler": ("-lnodes=1:ppn=3",)}, []),
        ({"cores": 1, "extra_scheduler": ("-l walltime=1:0:0,ncpus=3",)}, []),
        ({"cores": 1, "extra_scheduler": ("-l walltime=1:0:0",)}, ["-l select=1:ncpus=1"]),
        (
            {"cores": 1, "time": 60, "extra_scheduler": ("-l walltime=1:0:0",)},
            ["-l select=1:ncpus=1"],
        ),
    ],
)
def test_what_jobs_ask_for(wanted, options):
    assert PbsResources(**wanted).options() == options


def test_torque_is_asked_in_its_own_words():
    wanted = PbsResources(cores=2, memory="1gb", time=60)
    options = ["-l nodes=1:ppn=2", "-l mem=1gb", "-l walltime=00:01:00"]
    assert wanted.options(is_torque=True) == options


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"memory": "lots"}, "memory"),
        ({"memory": "4000"}, "memory"),
        ({"queue": "a b"}, "queue"),
        ({"queue": "long@other"}, "PBS_SERVER"),
        ({"extra_scheduler": ("-q long@other",)}, "PBS_SERVER"),
        ({"select": ""}, "select"),
        ({"select": "1:ncpus=1", "memory": "1gb"}, "select"),
        ({"cores": 8, "cores_per_node": 4}, "one node"),
        ({"cores_per_node": 0}, "cores_per_node"),
        ({"extra_scheduler": ("-N mine",)}, "names the jobs"),
        ({"extra_scheduler": ("-J 0-9",)}, "arrays"),
        ({"extra_scheduler": ("-o /tmp/x",)}, "log_folder"),
        ({"extra_scheduler": ("-W block=true",)}, "wait"),
        ({"extra_scheduler": ("-W umask=022,block=T",)}, "wait"),
        ({"extra_scheduler": ("walltime=1",)}, "options"),
        ({"extra_scheduler": ("-l 'x",)}, "extra_scheduler"),
    ],
)
def test_what_can_not_be_is_refused(wanted, words):
    with pytest.raises(InvalidInputError, match=words):
        PbsResources(**wanted)


def test_one_look_serves_all_schedulers_of_a_server(monkeypatch):
    here = PBS(1).queue_key
    assert here == PBS(2, queue="long").queue_key
    monkeypatch.setenv("PBS_SERVER", "elsewhere")
    assert PBS(1).queue_key != here


def test_walltime_and_time_are_the_same():
    assert PBS(1, walltime="01:00:00").resources(0) == PBS(1, time=3600).resources(0)
    with pytest.raises(InvalidInputError, match="same"):
        PBS(1, walltime="01:00:00", time=3600)


@pytest.mark.system
def test_a_job_warns_itself_before_the_end():
    lines = PBS(1, walltime="01:00:00").job_script().splitlines()
    assert "(sleep 3540 && exec kill -USR1 $$) > /dev/null 2>&1 &" in lines
    assert "USR1" not in PBS(1, walltime=3600, signal_before_end=0).job_script()
    assert "USR1" not in PBS(1).job_script()


@pytest.mark.system
@pytest.mark.parametrize(
    ("option", "seconds"),
    [
        ("-l walltime=01:00:00", 3600),
        ("-lwalltime=90:00", 5400),
        ("-l walltime=600", 600),
        ("-l place=scatter,walltime=1:0:0.5,mem=1gb", 3600),
    ],
)
def test_a_job_warns_itself_before_the_end_of_the_time_that_options_ask_for(option, seconds):
    resources = PbsResources(cores=1, time=60, extra_scheduler=(option,))
    assert resources.seconds == seconds
    assert f"(sleep {seconds - 60} &&" in PBS(1, extra_scheduler=[option]).job_script()


@pytest.mark.parametrize("value", [-1, "soon", True])
def test_a_warning_is_a_number_of_seconds(value):
    with pytest.raises(InvalidInputError, match="signal_before_end"):
        PBS(1, signal_before_end=value)


# What is sent.


def test_jobs_are_marked_word_for_word_whatever_their_name_is():
    for name in ("sweep", "a/b=c+d", "it's $HOME π", "new\nline"):
        batch = make_batch(job_name=name, token="t-1_x")
        for number in (None, 7):
            path = f"host:{batch.log_folder}/{write_mark(batch, number)}"
            assert read_mark(path) == ("t-1_x", number, name)


@pytest.mark.parametrize("path", ["", "host:/home/alice/arr.e8.0", "/adaptive-scheduler=", "x"])
def test_a_strangers_job_has_no_mark(path):
    assert read_mark(path) is None


def test_an_array_of_one_is_no_array():
    command = submit_command(make_batch(), array_of(range(7, 8)), [], Dialect())
    assert command[:3] == ["qsub", "-N", "sweep-7"]
    assert "-J" not in command


def test_output_goes_into_the_log_folder_and_into_no_odd_folder():
    command = submit_command(make_batch(), array_of(range(4)), ["-q long"], Dialect())
    assert command[command.index("-o") + 1] == "/run/logs/sweep-^array_index^.out"
    assert command[command.index("-k") + 1] == "oed"
    assert command[command.index("-J") + 1] == "0-3"
    assert command[-5:] == ["-f", "-r", "y", "-q", "long"]
    odd = submit_command(
        make_batch(log_folder=Path("/it's\nodd")), array_of(range(4)), [], Dialect()
    )
    assert odd[odd.index("-o") + 1] == "/dev/null"
    assert "-k" not in odd
    less = Dialect(writes_at_once=False, has_foreground=False)
    old = submit_command(make_batch(), array_of(range(4)), [], less)
    assert not {"-k", "-f"} & set(old)


def test_torque_has_other_arrays():
    command = submit_command(
        make_batch(), array_of(range(0, 6, 2)), [], Dialect(is_torque=True, writes_at_once=False)
    )
    assert command[command.index("-t") + 1] == "0,2,4"
    assert "-f" not in command  # there it is about something else
    assert "-J" not in command


@pytest.mark.parametrize(
    ("said", "block", "ids"),
    [
        ("12.s.lab\n", range(7, 8), {7: "12.s.lab"}),
        ("Welcome!\n12[].s\n", range(0, 4, 3), {0: "12[0].s", 3: "12[3].s"}),
        ("12\n", range(7, 8), {7: "12"}),
        ("Today's news:\n2026\n12.s:15001\n", range(7, 8), {7: "12.s:15001"}),
        ("12.s.lab \r\n", range(7, 8), {7: "12.s.lab"}),
    ],
)
def test_qsub_tells_the_ids(said, block, ids):
    assert parse_submit(said, array_of(block)) == ids


@pytest.mark.parametrize("said", ["", "Thank you", "12.s", "12[3].s"])
def test_where_qsub_tells_no_id_there_is_none(said):
    assert parse_submit(said, array_of(range(4))) == {}


def test_a_name_that_pbs_does_not_take_is_made_plain():
    command = submit_command(
        make_batch(job_name="π r²" + 300 * "x"), array_of(range(7, 8)), [], Dialect()
    )
    assert command[2].startswith("__r_xxx")
    assert command[2].endswith("x-7")
    assert len(command[2]) == 230


@pytest.mark.parametrize(
    ("job_name", "number", "name"),
    [
        ("sweep", 7, "sweep-7"),
        ("007", 7, "j007-7"),
        ("a.long+name of mine", 12345, "a_long_na-12345"),
        ("π", 7, "j_-7"),
    ],
)
def test_old_versions_want_short_names_that_begin_with_a_letter(job_name, number, name):
    jobs = array_of(range(number, number + 1))
    old = Dialect(takes_any_name=False)
    command = submit_command(make_batch(job_name=job_name), jobs, [], old)
    assert command[2] == name
    assert len(name) <= 15


@pytest.mark.parametrize(
    ("said", "dialect"),
    [
        ("qsub: illegal -k value", Dialect(writes_at_once=False)),
        ("qsub: illegal -N value", Dialect(takes_any_name=False)),
        ("qsub: Job name is too long", Dialect(takes_any_name=False)),
        ("qsub: invalid option -- 'f'", Dialect(has_foreground=False)),
        ("qsub: Unknown queue", None),
        ("", None),
    ],
)
def test_a_qsub_that_knows_less_is_asked_for_less(said, dialect):
    assert simpler(Dialect(), Finished(["qsub"], 2, "", said)) == dialect


def test_when_less_does_not_help_either_it_is_not_asked_again():
    least = Dialect(writes_at_once=False, takes_any_name=False, has_foreground=False)
    said_of_all = ("qsub: illegal -k value", "qsub: illegal -N value", "invalid option -- 'f'")
    for said in said_of_all:
        assert simpler(least, Finished(["qsub"], 2, "", said)) is None


@pytest.mark.system
def test_a_job_that_is_started_again_counts(tmp_path):
    batch = make_batch(
        workdir=tmp_path,
        log_folder=tmp_path,
        script='#!/bin/bash\necho "$PWD $ADAPTIVE_SCHEDULER_NUMBER $ADAPTIVE_SCHEDULER_RESTARTS"\n',
    )
    script = sent_script(batch, array_of(range(3, 4)))
    for _ in range(3):
        subprocess.run(
            ["bash"], input=script, text=True, env={"PBS_JOBID": "1.s"}, cwd="/", check=True
        )
    again = "adaptive_scheduler: PBS has started this job again"
    said = [f"{tmp_path} 3 0", again, f"{tmp_path} 3 1", again, f"{tmp_path} 3 2"]
    assert (tmp_path / "sweep-3-1.s.out").read_text().splitlines() == said


# Sites.


@pytest.mark.parametrize("name", ["pbsnodes", "pbsnodes_v"])
def test_nodes_and_their_cores(name):
    nodes = parse_nodes(answer_to(name, "pbsnodes").stdout)
    assert nodes == {"pbs-head": 8, "node2": 4}


def test_torques_nodes():
    text = "n1\n     state = free\n     np = 16\n     ntype = cluster\n\nn2\n     state = down\n"
    assert parse_nodes(text) == {"n1": 16}


def test_nodes_without_cores_run_no_jobs():
    form = "{}\n     resources_available.ncpus = {}\n\n"
    assert parse_nodes(form.format("login", 0) + form.format("n1", 4)) == {"n1": 4}


def test_parts_of_a_node_are_one_node():
    form = "{}\n     resources_available.host = big\n     resources_available.ncpus = {}\n\n"
    text = form.format("big", 0) + form.format("big[0]", 8) + form.format("big[1]", 8)
    assert parse_nodes(text) == {"big": 16}


def test_most_nodes_decide_how_many_cores_a_node_has():
    assert PbsSite(Commands(), {"a": 8, "b": 16, "c": 16}).cores_per_node == 16
    assert PbsSite(Commands(), {"a": 8, "b": 4}).cores_per_node == 4


# Complaints.


@pytest.mark.parametrize(
    "said",
    [
        "qstat: invalid option -- 'w'\nusage: qstat [-f]",  # PBS Pro 11, Torque
        "qstat: conflicting options.\nusage: \nqstat [-f]",  # PBS Pro 13
        "Unknown option: w",  # Torque's commands over Slurm
    ],
)
def test_a_qstat_without_wide_lines_is_known(said):
    assert takes_no_wide_lines(Finished(["qstat"], 2, "", said))


@pytest.mark.parametrize(
    "said",
    ["qstat: Unknown Job Id 1.s", "qstat: cannot connect to server s (errno=15010)", ""],
)
def test_other_complaints_say_nothing_of_wide_lines(said):
    assert not takes_no_wide_lines(Finished(["qstat"], 153, "", said))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("qstat: Unknown Job Id 1.s", 153),
        ("qstat: 1.s Job has finished, use -x or -H to obtain historical job information", 35),
        ("qstat: Unknown Job Id 1.s\n\nqstat: 2.s Job has finished, use -x", 35),
        ("Connection refused\nqstat: Unknown Job Id 1.s", 153),  # a second server has said it
    ],
)
def test_that_a_job_is_gone_is_a_good_answer(said, code):
    answer = Finished(["qstat"], code, "", f"{said}\n")
    assert PBS(1).commands.checked(answer, harmless=GONE) is answer


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Connection refused\nqstat: cannot connect to server s (errno=15010)", 255),
        ("qstat: Unknown Job Id 1.s\nqstat: cannot connect to server s (errno=15010)", 255),
        ("No Permission.\nqstat: cannot connect to server s (errno=15007)", 255),
        ("Connection refused", 255),
        ("qstat: End of File", 1),
        ("qstat: Unauthorized Request", 159),
    ],
)
def test_nothing_else_is_taken_for_the_end_of_a_job(said, code):
    with pytest.raises(SchedulerUnavailableError, match=re.escape(f"`qstat` failed: {said}")):
        PBS(1).commands.checked(Finished(["qstat"], code, "", said), harmless=GONE)


DOUBTFUL = [a for a in answers("server_down_refused") if "qsub" in a.command]
REFUSED = [
    a
    for name in ("array_bad_ranges", "errors_misc")
    for a in answers(name)
    if a.command.startswith("qsub") and a.stderr and "connect" not in a.stderr
]


def failure(answer):
    finished = Finished(["qsub"], answer.returncode, answer.stdout, answer.stderr)
    return PBS(1).failure_of(finished, make_batch())


@pytest.mark.parametrize("answer", DOUBTFUL)
def test_when_the_server_is_down_nothing_is_known(answer):
    assert isinstance(failure(answer), SchedulerUnavailableError)


@pytest.mark.parametrize(
    "said",
    [
        "qsub: Invalid credential",
        "qsub: PBS server internal error",
        "qsub: Request not allowed: Server shutting down",
        "qsub: Failed to save job/resv, refer server logs for details",
        "qsub: No free connections",
        "qsub: Batch protocol error",
        "qsub: End of File",
        "Connection refused\nqsub: cannot connect to server pbs.lab:15001 (errno=15010)",
        "No Permission.\nqsub: cannot connect to server pbs (errno=15007)",
        "qsub: request rejected as filter hook 'h' got an alarm call. Please inform Admin",
    ],
)
def test_trouble_of_the_server_is_no_refusal(said):
    assert isinstance(failure(Answer("qsub", "", f"{said}\n", 1)), SchedulerUnavailableError)


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("would exceed queue long's per-user limit", "max_simultaneous_jobs"),
        ("would exceed complex's per-user limit of jobs in 'Q' state", "max_simultaneous_jobs"),
        ("Maximum number of jobs for project p already in queue long", "max_simultaneous_jobs"),
        ("would exceed per-user limit on resource ncpus in queue long", "Ask for less"),
        ("would exceed queue generic's per-user limit", "max_simultaneous_jobs"),
        ("Access to queue is denied", "qstat -Q"),
        ("Unknown queue", "qstat -Q"),
        ("Queue is not enabled", "qstat -Q"),
        ("Unauthorized Request", "does not let you"),
        ("Illegal attribute or resource value Resource_List.select", "`select`"),
        ("Job rejected by all possible destinations", "qstat -Qf"),
        ("Invalid Account", "-A account"),
        ("script contains cr, lf", "Windows"),
        ("Bad GID for job execution", ""),
        ("Request rejected by filter hook 'projects': name a project with -P", "name a project"),
    ],
)
def test_a_refusal_says_what_to_do(said, hint):
    error = failure(Answer("qsub", "", f"qsub: {said}\n", 1))
    assert isinstance(error, SubmissionRejectedError)
    assert said in str(error)
    assert hint in str(error)


@pytest.mark.parametrize("answer", REFUSED)
def test_a_refusal_is_told_in_the_words_of_qsub(answer):
    error = failure(answer)
    assert isinstance(error, SubmissionRejectedError)
    assert answer.stderr.splitlines()[0] in str(error)
    assert "[-C directive_prefix]" not in str(error)
    assert "/run/scripts/0.pbs" in str(error)
