"""The command line: ``pycompress compress | compare | inspect | plan | bench | info | demo``.

Exit codes: 0 done, 1 a check failed (the bounds of `compress`, `compare --max-drop`), 2 bad input.
What is asked for goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

import pycompress
from pycompress.convert.budget import BudgetError
from pycompress.graph.beside import refuse_source
from pycompress.report.progress import spinner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

app = typer.Typer(
    help="Compress deep-learning models to int8 and run them fast on CPUs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class ModeName(str, Enum):
    """Values of --mode."""

    auto = "auto"
    static = "static"
    dynamic = "dynamic"
    weights = "weights"
    int4 = "int4"
    bf16 = "bf16"


class RangesName(str, Enum):
    """Values of --ranges."""

    auto = "auto"
    mse = "mse"
    percentile = "percentile"
    minmax = "minmax"
    entropy = "entropy"


class SwitchName(str, Enum):
    """Values of --equalize and --smooth."""

    auto = "auto"
    on = "on"
    off = "off"


class BenchName(str, Enum):
    """What `bench` can time."""

    all = "all"
    gemm = "gemm"
    matmul = "matmul"
    linear = "linear"
    conv = "conv"
    quantize = "quantize"
    int4 = "int4"
    bf16 = "bf16"
    float32 = "float32"
    model = "model"


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command()
def compress(  # noqa: PLR0917 - typer reads the options from the signature
    source: Annotated[Path, typer.Argument(metavar="IN", help="The float model; only read.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Where the int8 model goes.")],
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Real inputs: an .npz (axis 0 = samples) or a folder of .npz (one feed each)."
        ),
    ] = None,
    mode: Annotated[
        ModeName, typer.Option(help="How activations get their ranges.")
    ] = ModeName.auto,
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="How far the mean cosine may fall below 1 (0.005), and which share of the first "
            "places of classes may move (0.02), less for scores of sequences; or how far the "
            "metric may fall (0.005).",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="A node that stays in float, or a pattern; repeatable.")
    ] = None,
    ranges: Annotated[RangesName, typer.Option(help="How a range is chosen.")] = RangesName.auto,
    reports: Annotated[
        list[Path] | None,
        typer.Option(
            "--report", help="Write a report: one HTML page (.html) or JSON (.json); repeatable."
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="Your own measure instead of agreement: takes what runs a model (feed -> outputs) "
            "and returns a number, more is better.",
        ),
    ] = None,
    never_slower: Annotated[
        bool,
        typer.Option(
            "--never-slower/--slower",
            help="Leave nodes in float that integers neither speed up nor shrink noticeably.",
        ),
    ] = True,
    best_effort: Annotated[
        bool,
        typer.Option(
            "--best-effort",
            help="Write the best found even if it is not enough; exit 1 all the same.",
        ),
    ] = False,
    decisions: Annotated[
        Path | None,
        typer.Option(
            help="A report in JSON of the same model: its decisions are carried out again, without "
            "measuring."
        ),
    ] = None,
    memory: Annotated[
        float,
        typer.Option(min=0.0, help="MiB that calibration may keep beside one run of the model."),
    ] = 256.0,
    equalize: Annotated[
        SwitchName,
        typer.Option(
            help="Even channels out from layer to layer, exactly: auto, where the answers come out "
            "clearly nearer on the examples."
        ),
    ] = SwitchName.auto,
    smooth: Annotated[
        SwitchName,
        typer.Option(
            help="The same behind normalisations and through attention: scales move to the weights."
        ),
    ] = SwitchName.auto,
    as_json: Json = False,
) -> None:
    """Compress a model to int8 and report what was done."""
    from pycompress.compression.metric import load_metric

    with _bad_input(), spinner() as tell:
        report = pycompress.compress(
            source,
            target,
            calibration,
            mode=mode.value,
            max_drop=max_drop,
            exclude=tuple(exclude or ()),
            progress=tell,
            ranges=ranges.value,
            report=tuple(reports or ()),
            metric=None if metric is None else load_metric(metric),
            never_slower=never_slower,
            best_effort=best_effort,
            decisions=decisions,
            memory=int(memory * 2**20),
            equalize=equalize.value,
            smooth=smooth.value,
        )
    from pycompress.report.text import report_view

    _show(report.to_dict(), report_view(report), as_json=as_json)
    if report.kept is False:
        raise typer.Exit(1)


@app.command()
def compare(  # noqa: PLR0917 - typer reads the options from the signature
    a: Annotated[
        Path, typer.Argument(metavar="A", help="The model to hold against, such as the float one.")
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="The model that is held against it.")],
    data: Annotated[
        Path | None, typer.Option(help="Inputs, as for compress --calibration.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(min=0.0, help="Exit with 1 when cosine agreement falls further below 1."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write the comparison: one HTML page (.html) or JSON (.json)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run two models on the same inputs and compare answers, sizes and times."""
    with _bad_input(), spinner() as tell:
        tell(f"running {a} and {b}")
        found = pycompress.compare(a, b, data, report=report)
    from pycompress.report.text import comparison_view

    _show(found.to_dict(), comparison_view(found), as_json=as_json)
    if max_drop is not None and found.agreement.drop > max_drop:
        _complain(f"agreement drops by {found.agreement.drop:.4f}, {max_drop:g} allowed")
        raise typer.Exit(1)


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL")],
    as_json: Json = False,
) -> None:
    """Say what a model is made of and which of its nodes can be compressed."""
    with _bad_input():
        found = pycompress.inspect(model)
    from pycompress.report.text import inspection_view

    _show(found.to_dict(), inspection_view(found), as_json=as_json)


@app.command()
def plan(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Float or int8; only read.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Where the plan goes.")],
    as_json: Json = False,
) -> None:
    """Pack a model for this CPU, so that InferenceSession opens it at once."""
    with _bad_input():
        refuse_source(target, model)
        start = perf_counter()
        session = pycompress.InferenceSession(model)
        built = perf_counter() - start
        size = session.save(target)
        start = perf_counter()
        pycompress.InferenceSession(target)
        opened = perf_counter() - start
    found = {"bytes": size, "isa": pycompress.isa(), "load_s": built, "open_s": opened}
    view = (
        f"{target}: {size:,} bytes for {found['isa']}; opens in {opened * 1e3:.1f} ms, "
        f"the model in {built * 1e3:.1f} ms"
    )
    _show(found, view, as_json=as_json)


@app.command()
def bench(  # noqa: PLR0917 - typer reads the options from the signature
    what: Annotated[BenchName, typer.Argument(help="What to time.")] = BenchName.all,
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="The model, after `model`.")
    ] = None,
    cases: Annotated[
        str | None,
        typer.Option("--set", help="transformer, resnet50, mobilenet or square (by kind)."),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Instead of a set; repeatable. gemm, linear, int4, bf16, float32: M,N,K. matmul: "
            "COUNT,M,N,K. conv: SIZE,CHANNELS,FILTERS,KERNEL[,STRIDE[,GROUPS]]. quantize: sizes, "
            "@AXIS after them."
        ),
    ] = None,
    isa: Annotated[
        str | None, typer.Option(help="Instruction sets between commas, or all (the best one).")
    ] = None,
    threads: Annotated[str, typer.Option(help="Thread counts between commas.")] = "1",
    seconds: Annotated[float, typer.Option(min=0.0, help="Time for each row.")] = 0.25,
    data: Annotated[
        Path | None, typer.Option(help="Inputs of the model, as for compress --calibration.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the run here, for --compare.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the roofline here: .png or .svg (needs matplotlib).")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="A B", help="Measure nothing; hold two saved runs against each other."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure this machine's ceilings and the kernels below them, or the nodes of a model."""
    from pycompress.bench.command import Options

    options = Options(
        what=what.value,
        model=model,
        cases=cases,
        shapes=tuple(shape or ()),
        isa=isa,
        threads=threads,
        seconds=seconds,
        data=data,
        save=save,
        csv=csv,
        plot=plot,
        compare=compare,
    )
    with _bad_input():
        # Files by their names alone: a run that is passed on tells nothing of the folders here.
        said = [Path(argument).name if "/" in argument else argument for argument in sys.argv[1:]]
        found, view = options.execute(" ".join(["pycompress", *said]))
    _show(found, view, as_json=as_json)


@app.command()
def info(as_json: Json = False) -> None:
    """Say what this installation is and which instruction sets this CPU can run."""
    from pycompress.report.text import info_view

    found = pycompress.info()
    _show(found.to_dict(), info_view(found), as_json=as_json)


@app.command()
def demo(
    folder: Annotated[
        Path | None,
        typer.Option(help="Keep the compressed models here; a temporary folder otherwise."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compress a real model and run all engines side by side (needs the `demo` extra)."""
    from pycompress.demo import demo_view, run_demo

    with _bad_input(), spinner() as tell:
        found = run_demo(folder, tell)
    _show(found.to_dict(), demo_view(found), as_json=as_json)


@contextmanager
def _bad_input() -> Iterator[None]:
    """Turn what bad input raises into one line on stderr and exit code 2."""
    try:
        yield
    except BudgetError as error:
        _complain(f"{error}; nothing was written")
        raise typer.Exit(1) from None
    except (ValueError, OSError, ModuleNotFoundError) as error:
        _complain(" ".join(str(error).split()) or type(error).__name__)
        raise typer.Exit(2) from None


def _complain(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"[red]error:[/red] {escape(text)}", highlight=False)


def _show(data: dict[str, Any], view: RenderableType, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(data, indent=2) + "\n")
    else:
        Console().print(view)


def main() -> None:
    """Run the command line."""
    app()
