"""Strategies for WebAssembly guests."""
