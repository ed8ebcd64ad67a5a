"""Runtimes: what multiplies the matrices of a transformer. Each takes token ids; none knows of texts or configs."""
