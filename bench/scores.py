"""What models predict, float and compressed, by a scorer that has true labels.

python bench/scores.py DIR SCORER OUT [ID …]   DIR/m holds the models; SCORER is a Python file
python bench/scores.py … --stage time          times what an earlier run wrote to OUT
python bench/scores.py … --stage table --peers PEERS.csv --page docs/models.md --readme README.md

SCORER has a function ``tasks()`` that returns tasks by ID. A task has

  files                   part of the model -> file name under DIR/m
  main_metric             name of the measure that counts
  feeds(DIR, split, part) inputs of "calib" or "test", which share nothing
  score(DIR, runs, refs)  measures by name, and the answers; `runs` has a function for each part,
                          from a feed to the outputs, `refs` are the float model's answers

Each model is compressed with the defaults, once with the feeds of "calib" and once without any, and
scored in our session. OUT gets the files and one ID.json for each model. Load is the median of
fresh sessions; run is the median of each of the first feeds of "test", then their mean; both on one
thread, the float and the int8 model in turns, and the sum over the parts.

Measures of agreement with the float model are named agree_…, the mean cosine cos_mean.

The tables go to where two comments mark their place; without --page and --readme the long one is
printed only.

PEERS.csv has the columns model, engine, mb, load_ms, run_ms, metric: what others were measured at.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import statistics
import time
from collections import Counter
from pathlib import Path

import pycompress

ROUNDS, SECONDS, LOADS, TIMED = 5, 4.0, 5, 5
KINDS = ("float", "int8", "int8, no data")
BEGIN, END = "<!-- figures of bench/scores.py -->", "<!-- end of figures of bench/scores.py -->"


def load_scorer(path):
    """Return the tasks of a scorer."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.tasks()


def files_of(task, options, kind):
    """Return where a model's parts lie."""
    if kind == "float":
        return {part: options.dir / "m" / name for part, name in task.files.items()}
    tail = "int8" if kind == "int8" else "blind"
    return {p: options.out / f"{Path(n).stem}.{tail}.onnx" for p, n in task.files.items()}


def runner(path):
    """Return what runs a model on one thread."""
    session = pycompress.InferenceSession(str(path), num_threads=1)
    return lambda feed: session.run(None, feed)


def score(task, options):
    """Compress a model, and return what each form of it is and predicts."""
    found, refs = {}, None
    source = files_of(task, options, "float")
    for kind in KINDS:
        paths = files_of(task, options, kind)
        seconds, kept_out = 0.0, {}
        for part, path in paths.items() if kind != "float" else ():
            data = task.feeds(str(options.dir), "calib", part) if kind == "int8" else None
            begun = time.process_time()
            report = pycompress.compress(source[part], path, data)
            seconds += time.process_time() - begun
            kept_out |= {c.node: c.reason for c in report.choices if c.precision == "float"}
        runs = {part: runner(path) for part, path in paths.items()}
        metrics, answers = task.score(str(options.dir), runs, refs)
        refs = refs or answers
        found[kind] = {
            "bytes": sum(path.stat().st_size for path in paths.values()),
            "metrics": metrics,
            "metric": metrics[task.main_metric],
            "cpu_s": seconds,
            "float_nodes": kept_out,
        }
    return found


def timed(task, options):
    """Return load and run in ms of the float and of the int8 form."""
    kinds = KINDS[:2]
    totals = {kind: {"load_ms": 0.0, "run_ms": 0.0} for kind in kinds}
    for part in task.files:
        samples = task.feeds(str(options.dir), "test", part)[:TIMED]
        paths = {kind: files_of(task, options, kind)[part] for kind in kinds}
        loads = {kind: [] for kind in kinds}
        runs = {kind: [[] for _ in samples] for kind in kinds}
        for _ in range(LOADS):
            for kind, path in paths.items():
                begun = time.perf_counter()
                runner(path)
                loads[kind].append(time.perf_counter() - begun)
        made = {kind: runner(path) for kind, path in paths.items()}
        end, rounds = time.perf_counter() + SECONDS, 0
        while rounds < ROUNDS or time.perf_counter() < end:
            rounds += 1
            for index, sample in enumerate(samples):
                for kind, run in made.items():
                    begun = time.perf_counter()
                    run(sample)
                    runs[kind][index].append(time.perf_counter() - begun)
        for kind in kinds:
            totals[kind]["load_ms"] += 1e3 * statistics.median(loads[kind])
            totals[kind]["run_ms"] += 1e3 * statistics.fmean(map(statistics.median, runs[kind]))
    return totals


def agreement(metrics):
    """Return the scorer's first measure of agreement with the float model, or their cosine."""
    names = [n for n in metrics if n.startswith("agree_")] + ["cos_mean"]
    return next((f"{metrics[n]:.4f}" for n in names if n in metrics), "–")


def table(rows, peers):
    """Return everything as one Markdown table."""
    lines = [
        "| model, measure | engine | MB | load ms | run ms | result | agreement |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, found in rows.items():
        title = f"{name}, {found['measure']}"
        for peer in (p for p in peers if p["model"] == name):
            numbers = [peer[k] or "–" for k in ("mb", "load_ms", "run_ms", "metric")]
            lines.append(f"| {title} | {peer['engine']} | {' | '.join(numbers)} | – |")
            title = ""
        for kind in KINDS:
            row = found[kind]
            load, run = (f"{row[k]:.3g}" if k in row else "–" for k in ("load_ms", "run_ms"))
            engine = f"pycompress {kind}" if kind == "float" else f"**pycompress {kind}**"
            size, result = f"{row['bytes'] / 1e6:.2f}", f"{row['metric']:.4f}"
            same = agreement(row["metrics"])
            lines.append(f"| {title} | {engine} | {size} | {load} | {run} | {result} | {same} |")
            title = ""
    lines += ["", "Kept out of int8, with calibration data:", ""]
    for name, found in rows.items():
        reasons = Counter(found["int8"]["float_nodes"].values())
        for reason, count in reasons.most_common():
            lines.append(f"- {name}: {count} node{'s' if count > 1 else ''}, {reason}")
    return "\n".join(lines)


def short_table(rows, peers):
    """Return one row for each model: the float model, the int8 of others, and ours."""
    lines = [
        "| model, measure | MB | load ms | run ms | float | ORT int8 | NNCF | **ours** | no data |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, found in rows.items():
        ours = [found[kind] for kind in KINDS]
        theirs = {p["engine"]: p for p in peers if p["model"] == name}
        cells = [
            f"{name}, {found['measure']}",
            _to("{:.2f}", *(row["bytes"] / 1e6 for row in ours[:2])),
            *(_to("{:.3g}", *(row.get(key) for row in ours[:2])) for key in ("load_ms", "run_ms")),
            f"{ours[0]['metric']:.4f}",
            " / ".join(_metric(theirs.get(f"onnxruntime {k} int8")) for k in ("dynamic", "static")),
            _metric(theirs.get("OpenVINO NNCF int8")),
            f"**{ours[1]['metric']:.4f}**",
            f"{ours[2]['metric']:.4f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _to(form, before, after):
    return "–" if None in {before, after} else f"{form.format(before)} → {form.format(after)}"


def _metric(peer):
    try:
        return "–" if peer is None else f"{float(peer['metric']):.4f}"
    except ValueError:
        return peer["metric"] or "–"


def replaced(text, part):
    """Return a text with `part` between its marks."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        message = f"found {text.count(BEGIN)} of '{BEGIN}', {text.count(END)} of '{END}', wanted 1"
        raise ValueError(message)
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{rest.partition(END)[2]}"


def main():
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dir", type=Path)
    parser.add_argument("scorer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("ids", nargs="*")
    parser.add_argument("--stage", choices=["all", "score", "time", "table"], default="all")
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--readme", type=Path, help="gets the short table between its marks")
    parser.add_argument("--page", type=Path, help="gets the long table between its marks")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tasks = load_scorer(options.scorer)
    rows = {}
    for name in options.ids or tasks:
        path = options.out / f"{name}.json"
        found = json.loads(path.read_text()) if path.is_file() else {}
        if options.stage in {"all", "score"}:
            found = {"measure": tasks[name].main_metric, **score(tasks[name], options)}
        if options.stage in {"all", "time"}:
            for kind, times in timed(tasks[name], options).items():
                found[kind] |= times
        path.write_text(json.dumps(found, indent=1))
        rows[name] = found
    if options.stage in {"all", "table"}:
        peers = list(csv.DictReader(options.peers.open())) if options.peers else []
        print(table(rows, peers))
        for path, part in ((options.readme, short_table), (options.page, table)):
            if path:
                path.write_text(replaced(path.read_text(), part(rows, peers)))


if __name__ == "__main__":
    main()
