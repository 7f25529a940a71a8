"""BANG C from lifted TensorIR: stages to kernels, vector and matrix builtins, on-chip memory, a launcher."""
