"""The GDB remote serial protocol: connections, packets, target description."""
