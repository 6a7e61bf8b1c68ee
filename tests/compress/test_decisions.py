import json

import numpy as np
import onnx
import pytest

import pycompress
from pycompress.convert import BudgetError, Decisions, PlanError

from .models import images, residual_cnn, sentences, tokens


@pytest.fixture(params=[(residual_cnn, images), (tokens, sentences)], ids=["cnn", "tokens"])
def case(request, tmp_path):
    proto, data = request.param
    onnx.save(proto(), tmp_path / "float.onnx")
    return tmp_path, data(12)


def test_a_replay_writes_the_same_file(case):
    folder, feeds = case
    source, page = folder / "float.onnx", folder / "r.json"
    first = pycompress.compress(source, folder / "a.onnx", feeds, report=page)
    told = []
    again = pycompress.compress(
        source, folder / "b.onnx", feeds, decisions=page, progress=told.append
    )
    assert (folder / "a.onnx").read_bytes() == (folder / "b.onnx").read_bytes()
    assert again.decisions == first.decisions
    assert again.agreement == first.agreement
    assert again.choices == first.choices
    assert not any("ways" in said or "measuring" in said for said in told)
    alone = folder / "decisions.json"
    alone.write_text(json.dumps(first.decisions.to_dict()))
    assert Decisions.read(alone) == first.decisions


def test_the_same_inputs_give_the_same_choices(case):
    folder, feeds = case
    found = [
        pycompress.compress(
            folder / "float.onnx", folder / f"{i}.onnx", feeds, mode="dynamic", never_slower=False
        ).decisions
        for i in range(2)
    ]
    assert found[0] == found[1]


def test_decisions_need_no_data(case):
    folder, feeds = case
    source, page = folder / "float.onnx", folder / "r.json"
    pycompress.compress(source, folder / "a.onnx", feeds, report=page)
    report = pycompress.compress(source, folder / "b.onnx", decisions=page)
    assert report.agreement is None
    assert any("rounded to nearest" in note for note in report.notes)
    found = pycompress.compare(source, folder / "b.onnx", feeds)
    assert found.agreement.outputs[0].cosine_mean > 0.99
    blind = pycompress.compress(source, folder / "c.onnx", report=page)
    again = pycompress.compress(source, folder / "d.onnx", decisions=page)
    assert again.decisions == blind.decisions
    assert (folder / "c.onnx").read_bytes() == (folder / "d.onnx").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d | {"kind": "other"}, "found 'other', wanted 'pycompress decisions 2'"),
        (lambda d: d | {"model": "0" * 64}, "for another model"),
        (lambda d: d | {"choices": d["choices"][1:]}, "is not among the nodes"),
        (lambda d: d | {"ranges": {}}, "can't be as decided: the range of"),
        (lambda d: {k: v for k, v in d.items() if k != "mode"}, "are damaged: KeyError: 'mode'"),
        (
            lambda d: d | {"choices": [d["choices"][0] | {"precision": "int3"}, *d["choices"][1:]]},
            "has precision 'int3', wanted one of static",
        ),
        (lambda _: [1], "found 'list'"),
    ],
)
def test_decisions_that_do_not_fit_are_refused(tmp_path, change, said):
    source, file, target = tmp_path / "m.onnx", tmp_path / "d.json", tmp_path / "out.onnx"
    onnx.save(residual_cnn(), source)
    report = pycompress.compress(source, tmp_path / "a.onnx", images(6), mode="static")
    file.write_text(json.dumps(change(report.decisions.to_dict())))
    with pytest.raises(PlanError) as caught:
        pycompress.compress(source, target, images(6), decisions=file)
    assert said in str(caught.value)
    assert not target.exists()


def test_a_replay_is_held_to_the_bounds_too(tmp_path):
    source, page, target = tmp_path / "m.onnx", tmp_path / "r.json", tmp_path / "out.onnx"
    onnx.save(residual_cnn(), source)
    # static: whether "auto" takes dynamic layers depends on what is faster, and they have no ranges
    pycompress.compress(source, tmp_path / "a.onnx", images(6), mode="static", report=page)
    data = json.loads(page.read_text())
    data["decisions"]["ranges"] = {
        name: [low / 30, high / 30] for name, (low, high) in data["decisions"]["ranges"].items()
    }
    page.write_text(json.dumps(data))
    with pytest.raises(BudgetError, match="the decisions do not keep the bounds"):
        pycompress.compress(source, target, images(6), decisions=page)
    assert not target.exists()
    (tmp_path / "no.json").write_text("{")
    with pytest.raises(PlanError, match="are no JSON"):
        pycompress.compress(source, target, decisions=tmp_path / "no.json")
    assert np.isfinite(data["share"])
