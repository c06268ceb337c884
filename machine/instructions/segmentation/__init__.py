"""Instructions that load segments or leave them: far transfers, IRET, task switches, descriptor tables."""
