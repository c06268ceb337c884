"""WebAssembly guests of the resident engine: their state in the machine's memory, and motions by their instructions."""
