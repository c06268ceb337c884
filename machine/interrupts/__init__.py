"""Interrupts and exceptions: delivery in long mode and in protected mode, and returns."""
