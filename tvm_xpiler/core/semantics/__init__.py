"""The executable headers: what every builtin of a dialect means, in plain C++."""
