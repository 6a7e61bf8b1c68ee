"""The typed NumPy face of the kernels: one module per family."""
