"""What is timed, and beside whom: `pytest bench` for kernels, bench/models.py for whole models."""
