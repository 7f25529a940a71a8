"""From the text of a kernel to schedulable TensorIR."""
