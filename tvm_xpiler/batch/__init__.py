"""Many kernels: collected, translated each in a process of its own, and reported."""
