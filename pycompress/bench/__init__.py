"""What `pycompress bench` runs: this machine's ceilings, and the kernels and models below them."""
