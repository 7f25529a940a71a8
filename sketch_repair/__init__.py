"""Symbolic repair: the smallest failing part of a plan becomes a sketch, Z3 fills its holes, TVM's refusals teach it."""
