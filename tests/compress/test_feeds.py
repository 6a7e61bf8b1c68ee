import tracemalloc

import numpy as np
import pytest

from pycompress.calibration import FeedError, Histogram, Split, collect, feeds, random_feed
from pycompress.graph.ir import Value

INPUTS = [
    Value("x", np.dtype(np.float32), ("n", 3)),
    Value("ids", np.dtype(np.int64), ("n",)),
]


def feed(n=1, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.random((n, 3), np.float32), "ids": np.arange(n)}


def same(found, wanted):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_a_dict_is_one_feed():
    same(list(feeds(feed(4), INPUTS)), [feed(4)])


def test_lists_iterators_and_callables():
    several = [feed(seed=i) for i in range(3)]
    for source in (several, iter(several), lambda: several, lambda: iter(several)):
        same(list(feeds(source, INPUTS)), several)


def test_npz_is_cut_into_samples(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, **feed(3))
    same(
        list(feeds(path, INPUTS)), [{k: v[i : i + 1] for k, v in feed(3).items()} for i in range(3)]
    )


def test_npz_with_an_axis_more_than_the_input_is_cut_along_it(tmp_path):
    path = tmp_path / "data.npz"
    several = [feed(2, seed=i) for i in range(3)]
    np.savez(path, **{k: np.stack([f[k] for f in several]) for k in feed()})
    same(list(feeds(str(path), INPUTS)), several)


def test_a_folder_holds_one_feed_per_file(tmp_path):
    several = [feed(n) for n in (1, 4, 2)]
    for i, f in enumerate(several):
        np.savez(tmp_path / f"{i}.npz", **f)
    same(list(feeds(tmp_path, INPUTS)), several)


def without(name):
    return {k: v for k, v in feed().items() if k != name}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (without("x"), r"input 'x' is missing; found \['ids'\], wanted \['ids', 'x'\]"),
        ({**feed(), "y": np.zeros(1)}, r"'y' is not an input; found \['ids', 'x', 'y'\]"),
        ([feed(), without("ids")], "calibration feed 1: input 'ids' is missing"),
        ({**feed(), "x": np.zeros((1, 3))}, "input 'x' has dtype float64, wanted float32"),
        (
            {**feed(), "x": np.zeros((1, 4), np.float32)},
            r"'x' has shape \[1, 4\], wanted \['n', 3\]",
        ),
        ({**feed(), "x": np.zeros(3, np.float32)}, r"'x' has shape \[3\], wanted \['n', 3\]"),
        ([], "no feed found in the list given"),
        ([np.zeros(3)], "calibration feed 0: found a ndarray, wanted a dict"),
        (3, "found a int, wanted a dict, an iterable"),
        ("nowhere.npz", "no file or folder 'nowhere.npz'"),
    ],
)
def test_what_does_not_fit_is_named(source, said):
    with pytest.raises(FeedError, match=said):
        list(feeds(source, INPUTS))


def test_files_that_are_no_npz(tmp_path):
    (tmp_path / "text.npz").write_text("nothing of the kind")
    np.save(tmp_path / "single.npy", np.zeros(3))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FeedError, match=r"text\.npz' can't be read as an \.npz: it holds no"):
        list(feeds(tmp_path / "text.npz", INPUTS))
    with pytest.raises(FeedError, match="found a single array"):
        list(feeds(tmp_path / "single.npy", INPUTS))
    with pytest.raises(FeedError, match="no feed found"):
        list(feeds(tmp_path / "empty", INPUTS))
    np.savez(tmp_path / "ragged.npz", x=np.zeros((2, 3), np.float32), ids=np.zeros(3, np.int64))
    with pytest.raises(FeedError, match="same length"):
        list(feeds(tmp_path / "ragged.npz", INPUTS))


@pytest.mark.parametrize(
    ("count", "passed", "held"), [(1, 1, 1), (2, 1, 1), (8, 6, 2), (200, 168, 32)]
)
def test_every_fourth_feed_is_held_back(count, passed, held):
    split = Split([{"x": np.array(i)} for i in range(count)])
    used = [int(f["x"]) for f in split]
    kept = [int(f["x"]) for f in split.held_back]
    assert (len(used), len(kept)) == (passed, held)
    assert split.shared == (count == 1)
    assert split.shared or not set(used) & set(kept)


def test_collect_sees_every_feed_once():
    stream = ({"x": np.full(2, i, np.float32)} for i in range(5))
    found = collect(lambda f: [f["x"] * 2, np.arange(3)], ["double", "integers"], stream)
    assert (found["double"].total, found["double"].low, found["double"].high) == (10, 0, 8)
    assert found["integers"].total == 0


def test_made_up_feeds_fit_the_declared_inputs():
    inputs = [
        Value("ids", np.dtype(np.int64), ("batch", "tokens")),
        Value("mask", np.dtype(np.bool_), ("batch", "tokens")),
        Value("image", np.dtype(np.float32), (None, 3, 8, None)),
    ]
    made, assumed = random_feed(inputs)
    assert {k: (v.dtype.name, v.shape) for k, v in made.items()} == {
        "ids": ("int64", (1, 64)),
        "mask": ("bool", (1, 64)),
        "image": ("float32", (1, 3, 8, 64)),
    }
    assert len(assumed) == 3
    # a state whose batch is not its first dimension has the batch of the others
    state = Value("state", np.dtype(np.float32), (2, "batch", 16))
    assert random_feed([state, inputs[0]])[0]["state"].shape == (2, 1, 16)
    with pytest.raises(ValueError, match="input 'y' declares no dtype or shape"):
        random_feed([Value("y", np.dtype(np.float32), None)])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_samples_of_an_npz_are_what_was_saved(tmp_path, save, order):
    x = np.arange(5 * 3 * 4, dtype=">f4").reshape(5, 3, 4)
    save(tmp_path / "d.npz", x=np.asarray(x, order=order), n=np.arange(5))
    inputs = [Value("x", x.dtype, ("n", 3, 4)), Value("n", np.dtype(np.int64), ())]
    found = list(feeds(tmp_path / "d.npz", inputs))
    assert len(found) == 5
    for i, feed in enumerate(found):
        np.testing.assert_array_equal(feed["x"], x[i : i + 1])
        assert feed["n"] == i


def test_a_damaged_npz_says_which_sample(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, x=np.zeros((40, 1000), np.float32))
    data = bytearray(path.read_bytes())
    data[100_000] ^= 1  # the checksum no longer fits
    path.write_bytes(data)
    with pytest.raises(FeedError, match=r"can't be read as an \.npz: sample 39: Bad CRC-32"):
        list(feeds(path, [Value("x", np.dtype(np.float32), ("n", 1000))]))
    np.savez(path, x=np.array([{}, {}]))
    with pytest.raises(FeedError, match="holds Python objects"):
        list(feeds(path, [Value("x", np.dtype(np.float32), ("n",))]))


def test_ten_thousand_samples_take_no_more_memory_than_ten(tmp_path):
    path, inputs = tmp_path / "d.npz", [Value("x", np.dtype(np.float32), ("n", 400))]
    peaks = []
    for count in (10, 10_000):
        np.savez(path, x=np.zeros((count, 400), np.float32))
        histogram = Histogram()
        tracemalloc.start()
        for feed in feeds(path, inputs):
            histogram.update(feed["x"])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert histogram.total == count * 400
    assert peaks[1] < peaks[0] + 100_000
