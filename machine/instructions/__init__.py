"""Instructions that the machine executes itself, because Unicorn executes them otherwise than the manual says."""
