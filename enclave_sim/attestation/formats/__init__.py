"""The structures that evidence consists of: bytes to values and back, each field checked."""
