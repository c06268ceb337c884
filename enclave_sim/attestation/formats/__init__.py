"""The structures of evidence: decoding, with every field checked, and encoding."""
