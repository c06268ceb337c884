"""A server of the GDB remote serial protocol, through which gdb goes through a run in both directions.

The packets are those of "Debugging with GDB", appendix "GDB Remote Serial Protocol". docs/gdb.md tells how to use it,
and what is left out.
"""
