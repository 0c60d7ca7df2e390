"""Twenty learners, two at a time, on the cores of this machine.

    python demo.py

The points end up in ``data/``, a picture of them in ``demo.png``. Run it again
and nothing is computed twice.
"""

from functools import partial
from pathlib import Path

import adaptive

from adaptive_scheduler import RunManager, scheduler, utils


def h(x, pow, a):
    """Return what is expensive in your own work."""
    return a * x**pow


def main():
    """Compute, show a table, draw a picture."""
    combos = adaptive.utils.named_product(pow=list(range(10)), a=[0.5, 1.0])
    learners = [adaptive.Learner1D(partial(h, **combo), bounds=(-1, 1)) for combo in combos]
    fnames = [utils.combo2fname(combo, folder="data") for combo in combos]

    run = RunManager(
        scheduler.Local(cores=1),
        learners,
        fnames,
        goal=lambda learner: learner.npoints > 200,
        job_name="demo",
    )
    run.start()
    run.wait()
    run.load_learners()

    show_table(run, combos)
    draw(learners, combos)


def show_table(run, combos):
    """Print what each learner has got, and how long it took."""
    from rich.console import Console
    from rich.table import Table

    table = Table("learner", "pow", "a", "points", "seconds", title="What was computed")
    seconds = run.parse_log_files().set_index("fname")["elapsed_time"]
    for index, combo in enumerate(combos):
        npoints = run.learners[index].npoints
        elapsed = f"{seconds[str(run.fnames[index])]:.2f}"
        table.add_row(*map(str, [index, combo["pow"], combo["a"], npoints, elapsed]))
    Console().print(table)


def draw(learners, combos):
    """Draw one small picture for each power."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    colors = {0.5: "#5b8db8", 1.0: "#c8553d"}
    rug_at = {0.5: -1.42, 1.0: -1.22}
    figure, axes = plt.subplots(2, 5, figsize=(11, 5), sharex=True, sharey=True)
    for learner, combo in zip(learners, combos, strict=True):
        axis = axes.flat[combo["pow"]]
        x, y = learner.to_numpy().T
        color = colors[combo["a"]]
        axis.plot(x, y, color=color, linewidth=1.4, label=f"a = {combo['a']}")
        axis.plot(
            x, [rug_at[combo["a"]]] * len(x), "|", color=color, markersize=6, mew=0.5, alpha=0.5
        )
        axis.set_title(f"$a\\,x^{combo['pow']}$", fontsize=11)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_yticks([-1, 0, 1])
        axis.tick_params(labelsize=8, color="0.6", labelcolor="0.3")
    figure.tight_layout(rect=(0, 0, 1, 0.92), w_pad=1.5)
    figure.suptitle("Twenty functions, and where adaptive computed them", x=0.02, y=0.97, ha="left")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=2, frameon=False, fontsize=10)
    figure.savefig("demo.png", dpi=160)
    print("The picture:", Path("demo.png").absolute())


if __name__ == "__main__":
    main()
