"""How much of ONNX's own suite runs in the engine: ``python -m tests.onnx_backend.coverage``.

Runs every test, the excluded ones included, and says for each operator how many of its tests passed
natively, how many with a node that ran through onnx.reference, and how many failed.
"""

import argparse
import json
import sys
import warnings
from collections import Counter
from pathlib import Path

import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from tests.onnx_backend.suite import Backend, reason_to_exclude

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
RESULTS = ("native", "reference", "failed")


def cases(kind):
    """Return the tests of one kind; making the first ones computes what they expect."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return load_model_tests(kind=kind)


def run_case(case):
    """Return ("native" | "reference" | "failed", what ran elsewhere or what went wrong)."""
    model = case.model or onnx.load(Path(case.model_dir, "model.onnx"))
    try:
        prepared = Backend.prepare(model)
        for inputs, wanted in case.data_sets or _data_sets(model, Path(case.model_dir)):
            found = list(prepared.run([_array(x) for x in inputs]))
            Runner.assert_similar_outputs([_array(x) for x in wanted], found, case.rtol, case.atol)
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
    fallbacks = prepared.session.fallbacks
    return ("reference", ", ".join(fallbacks)) if fallbacks else ("native", "")


def _array(value):
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _data_sets(model, folder):
    for data in sorted(folder.glob("test_data_set_*")):
        yield (
            _files(data, "input", model.graph.input),
            _files(data, "output", model.graph.output),
        )


def _files(folder, stem, infos):
    values = []
    for i in range(len(list(folder.glob(f"{stem}_*.pb")))):
        raw = (folder / f"{stem}_{i}.pb").read_bytes()
        if infos[i].type.HasField("sequence_type"):
            values.append(numpy_helper.to_list(onnx.SequenceProto.FromString(raw)))
        elif infos[i].type.HasField("optional_type"):
            values.append(numpy_helper.to_optional(onnx.OptionalProto.FromString(raw)))
        else:
            values.append(onnx.TensorProto.FromString(raw))
    return values


def measure():
    """Return rows (test, operator under test, result, remark), in the suite's order."""
    rows = []
    for kind in KINDS:
        for case in cases(kind):
            model = case.model or onnx.load(Path(case.model_dir, "model.onnx"))
            ops = sorted({node.op_type for node in model.graph.node})
            op = ops[0] if len(ops) == 1 else f"({kind}, several)"
            rows.append((case.name, op, *run_case(case)))
    return rows


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object for each test")
    rows = measure()
    if parser.parse_args().json:
        keys = ("test", "operator", "result", "remark")
        sys.stdout.write(json.dumps([dict(zip(keys, row)) for row in rows], indent=1) + "\n")
        return
    totals = Counter(row[2] for row in rows)
    excluded = sum(reason_to_exclude(row[0]) is not None for row in rows)
    counts = ", ".join(f"{totals[r]} {r}" for r in RESULTS)
    lines = [f"{len(rows)} tests: {counts}; {excluded} excluded from the test run", ""]
    lines += ["| operator | native | reference | failed |", "|---|---:|---:|---:|"]
    for op in sorted({row[1] for row in rows}):
        of_op = Counter(row[2] for row in rows if row[1] == op)
        if set(of_op) != {"native"}:
            lines.append(f"| {op} | " + " | ".join(str(of_op[r]) for r in RESULTS) + " |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
