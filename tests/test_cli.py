import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from pycompress.cli import app

from .compress.models import images, residual_cnn, tokens


@pytest.fixture
def folder(tmp_path):
    onnx.save(residual_cnn(), tmp_path / "a.onnx")
    onnx.save(tokens(), tmp_path / "tokens.onnx")
    np.savez(tmp_path / "data.npz", x=np.concatenate([f["x"] for f in images(8)]))
    np.savez(tmp_path / "wrong.npz", image=np.zeros((2, 3), np.float32))
    (tmp_path / "truncated.onnx").write_bytes((tmp_path / "a.onnx").read_bytes()[:700])
    (tmp_path / "text.onnx").write_text("not a protobuf at all")
    (tmp_path / "empty.onnx").write_bytes(b"")
    return tmp_path


def run(folder, *arguments):
    return CliRunner().invoke(app, [str(a).replace("@", f"{folder}/") for a in arguments])


def test_compress_prints_tables(folder):
    result = run(folder, "compress", "@a.onnx", "@b.onnx", "--calibration", "@data.npz")
    assert result.exit_code == 0, result.output
    assert "Precision" in result.stdout
    assert (folder / "b.onnx").exists()


def test_json_is_all_that_goes_to_stdout(folder):
    arguments = ("--calibration", "@data.npz", "--mode", "static", "--exclude", "first", "--json")
    data = json.loads(run(folder, "compress", "@a.onnx", "@b.onnx", *arguments).stdout)
    assert data["mode"] == "static"
    assert {c["node"]: c["precision"] for c in data["choices"]}["first"] == "float"
    compared = run(folder, "compare", "@a.onnx", "@b.onnx", "--data", "@data.npz", "--json")
    assert json.loads(compared.stdout)["agreement"]["feeds"] == 8
    assert json.loads(run(folder, "inspect", "@b.onnx", "--json").stdout)["opset"] >= 18
    assert json.loads(run(folder, "info", "--json").stdout)["isa"]


def test_tables_without_json(folder):
    for arguments in (("compare", "@a.onnx", "@a.onnx"), ("inspect", "@tokens.onnx"), ("info",)):
        result = run(folder, *arguments)
        assert result.exit_code == 0, result.output
        assert result.stdout.strip()


def test_a_plan_of_a_model(folder):
    data = json.loads(run(folder, "plan", "@a.onnx", "@a.plan", "--json").stdout)
    assert data["bytes"] == (folder / "a.plan").stat().st_size
    assert data["isa"] == json.loads(run(folder, "info", "--json").stdout)["isa"]
    assert "opens in" in run(folder, "plan", "@a.onnx", "@a.plan").stdout


def test_bounds_that_cannot_be_kept_are_exit_code_1(folder):
    wishes = ("compress", "@a.onnx", "@b.onnx", "--calibration", "@data.npz", "--max-drop", "0")
    result = run(folder, *wishes)
    assert result.exit_code == 1
    assert "can't be kept" in result.stderr
    assert "nothing was written" in result.stderr
    assert not (folder / "b.onnx").exists()
    result = run(folder, *wishes, "--best-effort")
    assert result.exit_code == 1
    assert "can't be kept" in result.stdout
    assert (folder / "b.onnx").exists()


def test_a_measure_from_a_file(folder):
    (folder / "mine.py").write_text("def score(run):\n    return 1.0\n")
    wishes = ("compress", "@a.onnx", "@b.onnx", "--calibration", "@data.npz", "--json")
    data = json.loads(run(folder, *wishes, "--metric", "@mine.py:score").stdout)
    assert data["metric"] == [1.0, 1.0]
    for name, said in (("@mine.py", "FILE.py:FUNCTION"), ("@no.py:score", "there is no file")):
        result = run(folder, *wishes, "--metric", name)
        assert result.exit_code == 2
        assert said in result.stderr
    assert "has no function 'other'" in run(folder, *wishes, "--metric", "@mine.py:other").stderr


def test_a_check_that_fails_is_exit_code_1(folder):
    assert run(folder, "compress", "@a.onnx", "@b.onnx", "--mode", "dynamic").exit_code == 0
    result = run(folder, "compare", "@a.onnx", "@b.onnx", "--max-drop", "0")
    assert result.exit_code == 1
    assert "agreement drops by" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compress", "@truncated.onnx", "@b.onnx"), "truncated.onnx"),
        (("compress", "@text.onnx", "@b.onnx"), "text.onnx"),
        (("compress", "@empty.onnx", "@b.onnx"), "empty.onnx"),
        (("compress", "@none.onnx", "@b.onnx"), "is not a file"),
        (("compress", "@a.onnx", "@a.onnx"), "is the input"),
        (("compress", "@a.onnx", "@no/b.onnx"), "there is no folder"),
        (("compress", "@a.onnx", "@b.onnx", "--calibration", "@wrong.npz"), "'x' is missing"),
        (("compress", "@a.onnx", "@b.onnx", "--calibration", "@none.npz"), "no file or folder"),
        (("compress", "@a.onnx", "@b.onnx", "--mode", "static"), "needs calibration data"),
        (("compress", "@a.onnx", "@b.onnx", "--max-drop", "0.1"), "needs calibration data"),
        (("compress", "@a.onnx", "@b.onnx", "--exclude", "nobody"), "matches no node"),
        (("compress", "@a.onnx", "@b.onnx", "--equalize", "on"), "equalize 'on' needs calibration"),
        (("compress", "@a.onnx", "@b.onnx", "--smooth", "on"), "smooth 'on' needs calibration"),
        (("compare", "@a.onnx", "@tokens.onnx"), "different inputs"),
        (("compare", "@a.onnx", "@text.onnx"), "text.onnx"),
        (("inspect", "@truncated.onnx"), "truncated.onnx"),
        (("plan", "@truncated.onnx", "@b.onnx"), "truncated.onnx"),
        (("plan", "@a.onnx", "@a.onnx"), "is the model that is being read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_exit_code_2_and_one_line(folder, arguments, said):
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error:")
    assert said in lines[0]
    assert not (folder / "b.onnx").exists()


def test_an_unknown_mode_is_exit_code_2(folder):
    result = run(folder, "compress", "@a.onnx", "@b.onnx", "--mode", "int3")
    assert result.exit_code == 2
    assert "int3" in result.stderr


def test_the_module_is_what_the_script_runs(folder):
    done = subprocess.run(
        [sys.executable, "-m", "pycompress", "inspect", "text.onnx"],
        cwd=folder,  # -m looks into the working folder first: a checkout need not be built
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error:")
