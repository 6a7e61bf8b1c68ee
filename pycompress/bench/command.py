"""What `pycompress bench` does with its options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompress.bench.cases import KINDS, choose
from pycompress.bench.compare import compare_runs, comparison_view
from pycompress.bench.model import model_view, run_model
from pycompress.bench.plot import draw, refuse_plot
from pycompress.bench.progress import progress_bar
from pycompress.bench.run import Plan, load, run, thread_counts, usable_isas
from pycompress.bench.tables import run_view

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Options:
    """The options, as the command line has them."""

    what: str
    model: Path | None
    cases: str | None
    shapes: tuple[str, ...]
    isa: str | None
    threads: str
    seconds: float
    data: Path | None
    save: Path | None
    csv: Path | None
    plot: Path | None
    compare: tuple[Path, Path] | None

    def execute(self, command: str) -> tuple[dict[str, Any], RenderableType]:
        """Do what the options say.

        Parameters
        ----------
        command : str
            What a saved run says it was made by.

        Returns
        -------
        (dict, RenderableType)
            The outcome for --json, and for a person.

        Raises
        ------
        ValueError, OSError, ModuleNotFoundError
            An option does not fit; nothing was measured.
        """
        if self.compare is not None:
            found = compare_runs(*map(load, self.compare))
            return found.to_dict(), comparison_view(found)
        if (self.what == "model") != (self.model is not None):
            msg = "a model's file goes with `model`: pycompress bench model MODEL"
            raise ValueError(msg)
        return self._kernels(command) if self.model is None else self._model(self.model)

    def _kernels(self, command: str) -> tuple[dict[str, Any], RenderableType]:
        kinds = KINDS if self.what == "all" else (self.what,)
        cases = choose(kinds, self.cases, self.shapes)
        plan = Plan(tuple(cases), usable_isas(self.isa), thread_counts(self.threads), self.seconds)
        for path in (self.save, self.csv, self.plot):
            _refuse_folder(path)
        if self.plot:
            refuse_plot(self.plot)
        with progress_bar() as tell:
            found = run(plan, command, tell)
        if self.save:
            found.save(self.save)
        if self.csv:
            self.csv.write_text(found.csv())
        if self.plot:
            draw(found, self.plot)
        return found.to_dict(), run_view(found)

    def _model(self, model: Path) -> tuple[dict[str, Any], RenderableType]:
        refused = {
            "--set": self.cases,
            "--shape": self.shapes,
            "--isa": self.isa,
            "--save": self.save,
            "--csv": self.csv,
            "--plot": self.plot,
        }
        for option, value in refused.items():
            if value:
                msg = f"{option} is for kernels; a model takes --data, --threads and --seconds"
                raise ValueError(msg)
        with progress_bar() as tell:
            found = run_model(model, self.data, thread_counts(self.threads), self.seconds, tell)
        return found.to_dict(), model_view(found)


def _refuse_folder(path: Path | None) -> None:
    """Refuse what can't be written before minutes of work are spent."""
    if path is None:
        return
    if path.is_dir():
        msg = f"{path} is a folder, wanted a file to write"
        raise ValueError(msg)
    if not path.parent.is_dir():
        msg = f"{path}: there is no folder to write it to"
        raise ValueError(msg)
