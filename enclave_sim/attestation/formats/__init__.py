"""The structures that evidence consists of: decoding, with every field checked, and encoding."""
