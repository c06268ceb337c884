"""Kernels of one's own on a bare machine, and what is known of a program's code."""
