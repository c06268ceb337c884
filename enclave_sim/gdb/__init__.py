"""A server of the GDB remote serial protocol, with which gdb executes a run in both directions.

The packets are those of "Debugging with GDB", appendix "GDB Remote Serial Protocol". docs/gdb.md describes its use and
its limits.
"""
