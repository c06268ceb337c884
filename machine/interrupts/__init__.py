"""Interrupts and exceptions: delivery in long mode and in 32-bit mode, and returns."""
