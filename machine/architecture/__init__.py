"""The architecture as the manual defines it: registers, descriptors, paging, exceptions and the instruction set."""
