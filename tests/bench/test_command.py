"""`pycompress bench`, with next to no time for each row."""

import csv
import json

import pytest
from typer.testing import CliRunner

import pycompress as pc
from pycompress.bench import ceilings
from pycompress.bench.run import load
from pycompress.cli import app


@pytest.fixture(autouse=True)
def small_sweeps(monkeypatch):
    """Enough to see every part run, in milliseconds."""
    monkeypatch.setattr(ceilings, "MEMORY_SWEEP", 1 << 20)
    monkeypatch.setattr(ceilings, "SECONDS", 1e-5)
    monkeypatch.setattr(ceilings, "REPEATS", 2)
    before = pc.isa(), pc.get_num_threads()
    yield
    assert (pc.isa(), pc.get_num_threads()) == before


def bench(*arguments):
    return CliRunner().invoke(app, ["bench", "--seconds", "0", *map(str, arguments)])


SHAPES = {
    "gemm": "3,20,30",
    "matmul": "2,3,20,30",
    "linear": "3,20,30",
    "int4": "3,20,30",
    "bf16": "3,20,30",
    "float32": "3,20,30",
    "conv": "6,4,8,3",
    "quantize": "8,9@1",
}


@pytest.mark.parametrize("kind", SHAPES)
def test_each_kind_prints_its_table(kind):
    result = bench(kind, "--shape", SHAPES[kind])
    assert result.exit_code == 0, result.output
    for word in ("in registers", "memory", "±", f"{kind}, {pc.isa()}, 1 thread"):
        assert word in result.stdout
    assert "noisy" in result.stdout or "quiet" in result.stdout


def test_json_has_a_row_for_every_set_and_thread_count():
    result = bench("gemm", "--shape", "3,20,30", "--isa", "all", "--threads", "1,2", "--json")
    data = json.loads(result.stdout)
    rows = [(row["isa"], row["threads"]) for row in data["rows"]]
    assert rows == [(isa, count) for isa in pc.available_isas() for count in (1, 2)]
    for row in data["rows"]:
        assert row["operations"] == 2 * 3 * 20 * 30
        assert row["rate"] == pytest.approx(row["operations"] / row["times"]["median"])
        assert (row["share"] is None) == (row["isa"] == "scalar")
    assert {peak["threads"] for peak in data["ceilings"]["peaks"]} <= {1, 2}
    assert data["machine"]["isas"] == pc.available_isas()


def test_a_run_is_saved_and_read_again(tmp_path):
    path, rows = tmp_path / "run.json", tmp_path / "rows.csv"
    result = bench("quantize", "--shape", "8,9", "--save", path, "--csv", rows, "--json")
    assert result.exit_code == 0, result.output
    read = load(path)
    assert json.loads(json.dumps(read.to_dict())) == json.loads(result.stdout)
    (line,) = csv.DictReader(rows.read_text().splitlines())
    assert float(line["median_s"]) == read.rows[0].times.median
    assert (line["case"], line["bytes"]) == ("8x9", "360")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gemm", "--set", "vgg"), "found 'vgg'"),
        (("conv", "--set", "square"), "has no conv"),
        (("gemm", "--shape", "1,2"), "wanted M,N,K"),
        (("gemm", "--isa", "mmx"), "found 'mmx', this CPU has"),
        (("gemm", "--threads", "two"), "found 'two', wanted counts"),
        (("gemm", "--threads", "0"), "found '0'"),
        (("gemm", "--save", "@none/run.json"), "there is no folder"),
        (("gemm", "--csv", "@."), "is a folder"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_line(tmp_path, arguments, said):
    result = bench(*(text.replace("@", f"{tmp_path}/") for text in arguments))
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error:")
    assert said in line


@pytest.mark.parametrize("text", ["not json", "[]", '{"format": 0}', '{"format": 1}'])
def test_a_file_that_is_no_run_is_refused(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"run\.json is"):
        load(path)
