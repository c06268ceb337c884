"""Provenance within WebAssembly guests that the host executes: their run is repeated instruction by instruction."""
