"""Readers of WebAssembly modules: sections, names, instructions."""
