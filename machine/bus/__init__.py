"""RAM, the bus, and the host memory that they use."""
