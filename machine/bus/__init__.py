"""RAM, the bus, and the host memory beneath them."""
