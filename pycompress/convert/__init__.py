"""Float to integers: which node takes which precision, how it is rounded, what that costs."""

from pycompress.convert.agreement import Agreement, OutputAgreement, agreement, cosine, wilson
from pycompress.convert.apply import WeightCache, apply_plan, separate_residuals, settle
from pycompress.convert.budget import Budget, BudgetError, Held, relative_error
from pycompress.convert.chain import choose_ranges, observed
from pycompress.convert.costs import Costs, weight_bytes
from pycompress.convert.decisions import Decisions, fingerprint
from pycompress.convert.errors import NodeError, by_node, signal_to_noise
from pycompress.convert.evening import Evened, best_factors, even_out, read_values
from pycompress.convert.judge import Bounds, Judge, MakeRun, Metric, Verdict
from pycompress.convert.plan import MODES, Choice, Mode, Plan, PlanError, Precision, make_plan
from pycompress.convert.rounding import Layer, round_rows, wanted_moments
from pycompress.convert.streams import Kind, Stream, find_streams
from pycompress.convert.verify import ConversionError, verify
from pycompress.convert.verify_evened import verify_evened
from pycompress.convert.weights import quantize_table, quantize_weight
from pycompress.convert.work import Shapes, watched_sizes, work_of

__all__ = [
    "MODES",
    "Agreement",
    "Bounds",
    "Budget",
    "BudgetError",
    "Choice",
    "ConversionError",
    "Costs",
    "Decisions",
    "Evened",
    "Held",
    "Judge",
    "Kind",
    "Layer",
    "MakeRun",
    "Metric",
    "Mode",
    "NodeError",
    "OutputAgreement",
    "Plan",
    "PlanError",
    "Precision",
    "Shapes",
    "Stream",
    "Verdict",
    "WeightCache",
    "agreement",
    "apply_plan",
    "best_factors",
    "by_node",
    "choose_ranges",
    "cosine",
    "even_out",
    "find_streams",
    "fingerprint",
    "make_plan",
    "observed",
    "quantize_table",
    "quantize_weight",
    "read_values",
    "relative_error",
    "round_rows",
    "separate_residuals",
    "settle",
    "signal_to_noise",
    "verify",
    "verify_evened",
    "wanted_moments",
    "watched_sizes",
    "weight_bytes",
    "wilson",
    "work_of",
]
