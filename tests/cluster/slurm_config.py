"""The configuration of a Slurm cluster that lives in one folder of one machine."""

from __future__ import annotations

import os
import pwd
import socket
from dataclasses import dataclass, field
from pathlib import Path

#: What several nodes on one host need, and what makes a small cluster quick.
_CONFIG = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmdLogFile={folder}/log/slurmd.%n.log
SlurmdSpoolDir={folder}/spool/%n
TmpFS={folder}/tmp
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobs_completed.log
MpiDefault=pmi2
SwitchType=switch/none
ReturnToService=2
KillWait={kill_wait}
MessageTimeout={message_timeout}
MinJobAge={min_job_age}
# MPICH names memory after the job: clusters on one host at a time must not share names.
FirstJobId={ports[0]}000
MaxArraySize={max_array_size}
MaxJobCount={max_job_count}
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=10000,batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""

#: ``urgent`` takes the cores of ``main``, the default; ``single`` has one node,
#: so that its cores are easily used up; the others can't be used.
_PARTITIONS = """\
PartitionName=main Nodes=ALL Default=YES State=UP PriorityTier=1
PartitionName=single Nodes=n0 State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=brief Nodes=ALL State=UP PriorityTier=1 MaxTime=00:01:00 DefaultTime=00:01:00
PartitionName=closed Nodes=ALL State=UP AllowGroups=nogroup
PartitionName=down Nodes=ALL State=DOWN
"""


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """What a cluster is like.

    Attributes
    ----------
    nodes
        How many there are, named n0, n1 and so on.
    cpus, memory
        CPUs and megabytes that each claims to have.
    kill_wait
        Seconds from SIGTERM to SIGKILL.
    message_timeout
        Seconds that commands wait for an answer.
    min_job_age
        Seconds for which jobs that have ended are remembered.
    max_array_size, max_job_count
        One more than the largest index of an array; how many jobs there may be.
    extra
        Further lines for slurm.conf.
    """

    nodes: int = 4
    cpus: int = 2
    memory: int = 2000
    kill_wait: int = 5
    message_timeout: int = 10
    min_job_age: int = 300
    max_array_size: int = 1001
    max_job_count: int = 20_000
    extra: tuple[str, ...] = field(default=())

    @property
    def node_names(self) -> list[str]:
        """The names of all nodes."""
        return [f"n{i}" for i in range(self.nodes)]

    def text(self, folder: Path, ports: list[int], plugins: Path | None = None) -> str:
        """Return the slurm.conf of a cluster in `folder` with these free ports, one a daemon."""
        host = socket.gethostname().partition(".")[0]
        head = _CONFIG.format(
            name="test",
            host=host,
            ports=ports,
            user=pwd.getpwuid(os.getuid()).pw_name,
            folder=folder,
            **vars(self),
        )
        nodes = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
            f"CPUs={self.cpus} RealMemory={self.memory}"
            for name, port in zip(self.node_names, ports[1:], strict=True)
        ]
        plugin_dir = [] if plugins is None else [f"PluginDir={plugins}"]
        return "\n".join([head, *plugin_dir, *nodes, _PARTITIONS, *self.extra, ""])
