"""Ranges of activations: observers, the feeds they watch, and how a range is chosen."""

from pycompress.calibration.blas import one_blas_thread
from pycompress.calibration.channels import Channels
from pycompress.calibration.collect import Run, collect, watched
from pycompress.calibration.feeds import Feed, FeedError, FeedSource, check_feed, feeds
from pycompress.calibration.histogram import Histogram
from pycompress.calibration.moments import Moments, ScaledMoments, SecondMoments
from pycompress.calibration.ranges import (
    METHODS,
    Range,
    RangeMethod,
    entropy,
    minmax,
    mse,
    percentile,
)
from pycompress.calibration.split import Split
from pycompress.calibration.synthetic import random_feed

__all__ = [
    "METHODS",
    "Channels",
    "Feed",
    "FeedError",
    "FeedSource",
    "Histogram",
    "Moments",
    "Range",
    "RangeMethod",
    "Run",
    "ScaledMoments",
    "SecondMoments",
    "Split",
    "check_feed",
    "collect",
    "entropy",
    "feeds",
    "minmax",
    "mse",
    "one_blas_thread",
    "percentile",
    "random_feed",
    "watched",
]
