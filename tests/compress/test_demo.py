import numpy as np
import pytest

from pycompress import demo


def test_features_are_the_stripped_ends_of_a_file():
    found = demo.features(b"  start" + b"." * 5000 + b"end\n ")
    assert found.shape == (1, 2048)
    assert found.dtype == np.int32
    assert bytes(found[0, :5].astype(np.uint8)) == b"start"
    assert bytes(found[0, -3:].astype(np.uint8)) == b"end"
    assert (found < 256).all()


def test_a_short_file_is_padded_in_the_middle():
    found = demo.features(b" abc ")[0]
    assert bytes(found[:4].astype(np.uint8)) == b"abc "
    assert bytes(found[-4:].astype(np.uint8)) == b" abc"
    assert (found[4:-4] == 256).all()
    assert (demo.features(b"")[0] == 256).all()


def test_items_are_disjoint_and_always_the_same(tmp_path):
    paths = [tmp_path / f"{i}.py" for i in range(20)]
    for i, path in enumerate(paths):
        path.write_text(f"# {i}\n" + "x = 1\n" * 100)
    (tmp_path / "small.py").write_text("x")
    calibration, test = demo.split_items({"python": [*paths, tmp_path / "small.py"]})
    assert (len(calibration), len(test)) == (demo.CALIBRATION_EACH, demo.TEST_EACH)
    seen = {feed["bytes"].tobytes() for feed, _ in calibration}
    assert not seen & {feed["bytes"].tobytes() for feed, _ in test}
    again, _ = demo.split_items({"python": [*paths, tmp_path / "small.py"]})
    np.testing.assert_array_equal(again[0][0]["bytes"], calibration[0][0]["bytes"])


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=r"pycompress\[demo\]"):
        demo.run_demo()
