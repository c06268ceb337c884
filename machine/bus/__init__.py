"""RAM, the bus, and host memory."""
