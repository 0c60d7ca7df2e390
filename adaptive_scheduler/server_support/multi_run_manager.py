"""Several runs side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from adaptive_scheduler.errors import InvalidInputError, MissingPackageError
from adaptive_scheduler.server_support.info import RunInfo, as_text

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager


class MultiRunManager:
    """Several runs, looked at, started and cancelled together.

    Parameters
    ----------
    run_managers
        The runs; their `job_name` tells them apart.

    Attributes
    ----------
    run_managers
        The runs by name.

    Raises
    ------
    InvalidInputError
        If two runs have the same name.
    """

    def __init__(self, run_managers: Iterable[RunManager] | None = None) -> None:
        self.run_managers: dict[str, RunManager] = {}
        self._wait_for: dict[str, RunManager] = {}
        for run_manager in run_managers or ():
            self.add_run_manager(run_manager)

    def __repr__(self) -> str:
        runs = (f"'{name}' {run.status()}" for name, run in self.run_managers.items())
        return f"<MultiRunManager: {', '.join(runs) or 'no runs'}>"

    def add_run_manager(
        self, run_manager: RunManager, *, start: bool = False, wait_for: str | None = None
    ) -> None:
        """Add a run.

        Parameters
        ----------
        run_manager
            The run.
        start
            Start it, too.
        wait_for
            The name of another run that must be over before it begins; also
            where `start_all` starts it.

        Raises
        ------
        InvalidInputError
            If there is a run of this name, or none that is waited for, or the
            run was started already and can't wait.
        """
        name = run_manager.job_name
        if name in self.run_managers:
            raise InvalidInputError(
                f"There is a run '{name}' already: give each run a `job_name` of its own."
            )
        if wait_for is not None:
            other = self._run(wait_for)
            if run_manager.is_started:
                raise InvalidInputError(
                    f"Run '{name}' has been started before: it can't wait for '{wait_for}' any "
                    "more."
                )
            self._wait_for[name] = other
        self.run_managers[name] = run_manager
        if start:
            self._start(name)

    def remove_run_manager(self, name: str) -> None:
        """Show a run no longer. It goes on.

        Raises
        ------
        InvalidInputError
            If there is no such run.
        """
        self._run(name)
        del self.run_managers[name]
        self._wait_for.pop(name, None)

    def start_all(self) -> None:
        """Start the runs that have not been started."""
        for name, run_manager in self.run_managers.items():
            if not run_manager.is_started:
                self._start(name)

    def cancel_all(self) -> None:
        """Cancel all runs, and their jobs, which save first."""
        # Those that wait for others come later: they must not begin meanwhile.
        for run_manager in reversed(self.run_managers.values()):
            run_manager.cancel()

    def info(self, format: Literal["widget", "text", "data"] = "widget") -> Any:  # noqa: A002  the public name
        """Return how the runs do.

        Parameters
        ----------
        format
            ``"widget"`` has a tab for each run, which a notebook keeps up to
            date. ``"text"`` is text, ``"data"`` figures by the name of the run.

        Raises
        ------
        InvalidInputError
            If `format` is none of these.
        MissingPackageError
            If a widget is wanted and ipywidgets is not installed.
        """
        match format:
            case "widget":
                return self._tabs()
            case "text":
                return "\n".join(map(as_text, self._infos().values())) or "There are no runs."
            case "data":
                return self._infos()
        raise InvalidInputError(f"`format` is 'widget', 'text' or 'data', not {format!r}.")

    def display(self) -> None:
        """Show the runs in a notebook."""
        from IPython.display import display

        display(self)  # type: ignore[no-untyped-call]  # it has no types

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return what a notebook, a saved notebook, and a terminal show."""
        from adaptive_scheduler.widgets.dashboard import in_notebook
        from adaptive_scheduler.widgets.html import page_of, view_of

        page: dict[str, Any] = page_of(list(self._infos().values()))
        return page | (view_of(self._tabs()) if in_notebook() else {})

    def _ipython_display_(self) -> None:
        from adaptive_scheduler.widgets.dashboard import in_notebook

        if in_notebook():
            self._tabs()._ipython_display_()
        else:
            print(self.info("text"))  # noqa: T201  IPython's terminal shows it so

    def _tabs(self) -> Any:
        from adaptive_scheduler.widgets import multi

        try:
            return multi(list(self.run_managers.values()))
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"The widget needs {error.name}: pip install 'adaptive-scheduler[notebook]'. "
                "`info('text')` needs nothing."
            ) from error

    def _infos(self) -> dict[str, RunInfo]:
        return {name: run.info("data") for name, run in self.run_managers.items()}

    def _run(self, name: str) -> RunManager:
        if name not in self.run_managers:
            known = ", ".join(map(repr, self.run_managers)) or "none"
            raise InvalidInputError(f"There is no run {name!r}; there are: {known}.")
        return self.run_managers[name]

    def _start(self, name: str) -> None:
        self.run_managers[name].start(wait_for=self._wait_for.get(name))
