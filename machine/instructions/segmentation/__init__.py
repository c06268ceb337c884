"""Instructions that load or leave segments: far transfers, IRET, task switches, descriptor tables."""
