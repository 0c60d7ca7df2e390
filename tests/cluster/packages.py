"""Get the programs that tests need: ``python -m tests.cluster.packages``.

With the rights to do so the Debian packages are installed; without, those of Slurm
are unpacked into a folder of this project, where the tests find them as well. A
browser, and what makes networks, can only be installed.
"""

# ruff: noqa: T201  a command prints

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Where packages are unpacked without root; ``make clean`` removes it.
CACHE = ROOT / "build" / "debian"

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
_PACKAGES = ("slurm-wlm", "munge")
#: The same without what Debian would configure, and with the libraries that they need.
_PARTS = ("slurm-client", "slurmd", "slurmctld", "slurm-wlm-basic-plugins", "munge")
_LIBRARIES = ("libmunge2", "libhwloc15", "liblua5.1-0")

#: What the tests of the dashboard look at pages with, the letters that they see there, and
#: what the node.js of Playwright, which steers the browser, is linked with.
BROWSERS = ("chromium", "chromium-browser")
_BROWSER_PACKAGES = ("chromium", "fonts-dejavu-core", "libatomic1")

#: What the tests make hosts and cables of.
_NETWORK_PACKAGES = ("iproute2",)

#: A kernel that is a program, in which the tests of NFS take place. It is never installed.
_GUEST_PACKAGES = ("user-mode-linux",)

HOW_TO_GET_A_BROWSER = (
    "The tests of the dashboard need Chromium. On Debian: "
    "`sudo apt-get install chromium fonts-dejavu-core libatomic1`."
)
HOW_TO_GET_NETWORKS = (
    "The tests of broken networks need the program `ip`, and the rights of root. On Debian: "
    "`sudo apt-get install iproute2`."
)
HOW_TO_GET_A_GUEST = (
    "The tests of NFS need user-mode Linux, of Debian's package user-mode-linux. On Debian or "
    "Ubuntu: `python -m tests.cluster.packages`."
)
HOW_TO_GET_THEM = (
    "The tests start a Slurm cluster of their own, in a temporary folder and without root, and "
    "need its programs for that. On Debian or Ubuntu: `sudo apt-get install slurm-wlm munge`, or, "
    "without root: `python -m tests.cluster.packages`."
)


@dataclass(frozen=True)
class SlurmPrograms:
    """The programs of Slurm on this machine.

    Attributes
    ----------
    unpacked
        The folder into which their packages were unpacked; None if they are installed.
    """

    unpacked: Path | None = None

    @property
    def search_path(self) -> str:
        """What to search for programs, those of administrators included."""
        if self.unpacked is None:
            return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        folders = [str(self.unpacked / "usr" / name) for name in ("bin", "sbin")]
        return os.pathsep.join([*folders, os.environ.get("PATH", "")])

    @property
    def environment(self) -> dict[str, str]:
        """What they need in the environment to find their libraries."""
        if self.unpacked is None:
            return {}
        return {"LD_LIBRARY_PATH": os.pathsep.join(map(str, sorted(self._library_folders())))}

    @property
    def plugins(self) -> Path | None:
        """The folder of their plugins, if they would not find it by themselves."""
        if self.unpacked is None:
            return None
        return next(self.unpacked.glob("usr/lib/*/slurm-wlm"))

    def _library_folders(self) -> set[Path]:
        assert self.unpacked is not None
        return {path.parent for path in self.unpacked.glob("usr/lib/**/*.so*")}

    def find(self, name: str) -> str:
        """Return the path of a program.

        Raises
        ------
        FileNotFoundError
            If there is none; the message says how to get it.
        """
        path = shutil.which(name, path=self.search_path)
        if path is None:
            raise FileNotFoundError(f"There is no program '{name}'. {HOW_TO_GET_THEM}")
        return path

    def are_complete(self) -> bool:
        """Whether all of them are there."""
        return all(shutil.which(name, path=self.search_path) for name in PROGRAMS)


def installed_programs() -> SlurmPrograms:
    """Return the programs that are installed, or else those that were unpacked."""
    installed, unpacked = SlurmPrograms(), SlurmPrograms(CACHE)
    return unpacked if not installed.are_complete() and unpacked.are_complete() else installed


def browser() -> str | None:
    """Return the path of Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@dataclass(frozen=True)
class GuestKernel:
    """User-mode Linux.

    Attributes
    ----------
    program
        The kernel.
    modules
        The folder of its modules.
    """

    program: Path
    modules: Path


def guest_kernel() -> GuestKernel | None:
    """Return the kernel of guests; None if there is none."""
    for root in (Path("/"), CACHE):
        program = root / "usr" / "bin" / "linux.uml"
        modules = sorted((root / "usr" / "lib" / "uml" / "modules").glob("*"))
        if program.exists() and modules:
            return GuestKernel(program, modules[-1])
    return None


def main() -> int:
    """Get the programs, unless they are there; return an exit code."""
    return max(_get_slurm(), _get_browser(), _get_networks(), _get_guest())


def _get_slurm() -> int:
    if installed_programs().are_complete():
        return 0
    if shutil.which("apt-get") is None:
        return _complain("This machine has no apt-get. Install Slurm and munge its own way.")
    try:
        _install(_PACKAGES) if _root() is not None else _unpack()
    except subprocess.CalledProcessError as error:
        return _complain(f"`{' '.join(map(str, error.cmd))}` failed.")
    if not installed_programs().are_complete():
        return _complain("Not all programs are there now.")
    return 0


def _get_browser() -> int:
    if browser() is not None:
        return 0
    return _get_by_apt("There is no browser.", _BROWSER_PACKAGES, HOW_TO_GET_A_BROWSER)


def _get_networks() -> int:
    if shutil.which("ip") is not None:
        return 0
    return _get_by_apt("There is no program `ip`.", _NETWORK_PACKAGES, HOW_TO_GET_NETWORKS)


def _get_guest() -> int:
    if guest_kernel() is not None:
        return 0
    if shutil.which("apt-get") is None:
        return _complain("There is no user-mode Linux.", HOW_TO_GET_A_GUEST)
    try:
        _extract(_GUEST_PACKAGES)
    except subprocess.CalledProcessError as error:
        return _complain(f"`{' '.join(map(str, error.cmd))}` failed.", HOW_TO_GET_A_GUEST)
    return 0


def _get_by_apt(lack: str, packages: Sequence[str], way_out: str) -> int:
    if shutil.which("apt-get") is None or _root() is None:
        return _complain(lack, way_out)
    try:
        _install(packages)
    except subprocess.CalledProcessError as error:
        return _complain(f"`{' '.join(map(str, error.cmd))}` failed.", way_out)
    return 0


def _root() -> list[str] | None:
    """Return what makes a command run as root, None if nothing does without a question."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "--non-interactive"]
    return sudo if shutil.which("sudo") and _succeeds(*sudo, "true") else None


def _install(packages: Sequence[str]) -> None:
    root = _root() or []
    apt_get = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes"]
    subprocess.run([*apt_get, "update"], check=True)
    subprocess.run([*apt_get, "install", "--no-install-recommends", *packages], check=True)


def _unpack() -> None:
    libraries = [name for name in _LIBRARIES if _succeeds("apt-cache", "show", name)]
    _extract([*_PARTS, *libraries])
    for program in (CACHE / "usr" / "sbin").glob("*-wlm"):  # Debian gives them their names later
        program.with_name(program.name.removesuffix("-wlm")).symlink_to(program.name)


def _extract(packages: Sequence[str]) -> None:
    """Unpack packages into a folder of this project, which takes no rights."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if (root := _root()) is not None and not _succeeds("apt-cache", "show", *packages):
        subprocess.run([*root, "apt-get", "--quiet", "update"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "--quiet", "download", *packages], cwd=folder, check=True)
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg", "--extract", package, CACHE], check=True)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _complain(reason: str, way_out: str = HOW_TO_GET_THEM) -> int:
    print(f"{reason}\n{way_out}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
