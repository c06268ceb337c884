"""A small x86-64 PC: one CPU, one RAM buffer, a bus with devices, one virtual clock.

The package knows nothing about the programs it runs. Start at `machine.machine.Machine`.
"""
