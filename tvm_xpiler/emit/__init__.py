"""Code for a target, from lifted TensorIR."""
