"""One file a device, named and laid out as its manual has it."""
