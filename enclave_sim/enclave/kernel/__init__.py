"""Kernels on the bare machine, and what is known of a program's code."""
