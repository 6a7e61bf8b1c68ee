"""What of ONNX's own suite is left out, each group of names with its reason, and how it is run."""

import re
import warnings

from onnx.backend.test import BackendTest

from pycompress.backend import PycompressBackend
from pycompress.runtime.notices import FallbackWarning

EXCLUDED = {
    "their answers are random numbers, drawn anew each time": ["bernoulli.*"],
    "onnx.reference has no subgraph that reads outer values here": [
        "flexattention_(score_mod|prob_mod|causal_mask|soft_cap|relative_positional)",
    ],
    "an optional without a value": ["if_opt", "loop16_seq_none"],
    "written in an opset before 6": ["not_.d"],
    "Scan of opset 8, whose form went in opset 9": ["scan_sum"],
    "its answer has rounding errors above its own tolerance": ["dft_inverse_opset19"],
    "slow in onnx.reference": ["lppool_3d_default"],
    "gradients: models are run here, not trained": ["gradient_of_.*"],
}
"""Patterns of test names, without ``test_`` in front and ``_cpu`` behind."""

CATEGORIES = ("Node", "Simple", "PyTorchConverted", "PyTorchOperator")
"""Those of the suite, but for Real: it downloads models, or writes them into the home folder."""


class Backend(PycompressBackend):
    """The backend under test; that an operator runs elsewhere is the report's affair."""

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            return super().prepare(model, device, num_threads=1, **kwargs)


def patterns():
    """Return what the names of the excluded tests match."""
    return [f"^test_(?:{name})_cpu$" for names in EXCLUDED.values() for name in names]


def test_classes():
    """Return the classes of the suite by name, with the tests that run on a CPU."""
    with warnings.catch_warnings():
        for category in (RuntimeWarning, DeprecationWarning):  # from making what tests expect
            warnings.simplefilter("ignore", category)
        suite = BackendTest(Backend, __name__)
    for pattern in patterns():
        suite.exclude(pattern)
    classes = {f"OnnxBackend{kind}ModelTest": kind for kind in CATEGORIES}
    found = {name: cls for name, cls in suite.test_cases.items() if name in classes}
    for cls in found.values():
        for name in [n for n in vars(cls) if n.startswith("test_") and not n.endswith("_cpu")]:
            delattr(cls, name)
    return found


def reason_to_exclude(name):
    """Return why a test is left out, or None; `name` is ``test_...`` without the device."""
    for reason, names in EXCLUDED.items():
        if any(re.fullmatch(f"test_(?:{n})", name) for n in names):
            return reason
    return None
