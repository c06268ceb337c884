"""Reading WebAssembly modules: sections, names, instructions."""
