"""Compress deep-learning models to integers and run them fast on CPUs."""

__version__ = "0.1.0"
