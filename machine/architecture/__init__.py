"""The architecture as the manual defines it: registers, descriptors, paging, exceptions, the instruction set."""
