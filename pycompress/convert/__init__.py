"""Float to integers: which node takes which precision, how it is rounded, what that costs."""

from pycompress.convert.agreement import Agreement, OutputAgreement, agreement, cosine, wilson
from pycompress.convert.apply import WeightCache, apply_plan, separate_residuals, settle
from pycompress.convert.budget import Budget, BudgetError, Held
from pycompress.convert.chain import choose_ranges, observed
from pycompress.convert.costs import Costs, weight_bytes
from pycompress.convert.decisions import Decisions, fingerprint
from pycompress.convert.errors import NodeError, by_node, signal_to_noise
from pycompress.convert.judge import Bounds, Judge, MakeRun, Metric, Verdict
from pycompress.convert.plan import MODES, Choice, Mode, Plan, PlanError, Precision, make_plan
from pycompress.convert.rounding import Layer, round_rows, wanted_moments
from pycompress.convert.verify import ConversionError, verify
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
    "Held",
    "Judge",
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
    "Verdict",
    "WeightCache",
    "agreement",
    "apply_plan",
    "by_node",
    "choose_ranges",
    "cosine",
    "fingerprint",
    "make_plan",
    "observed",
    "quantize_table",
    "quantize_weight",
    "round_rows",
    "separate_residuals",
    "settle",
    "signal_to_noise",
    "verify",
    "wanted_moments",
    "watched_sizes",
    "weight_bytes",
    "wilson",
    "work_of",
]
