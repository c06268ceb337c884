"""Kernels on the bare machine, and information about a program's code."""
