"""Guest engines, which execute WebAssembly at CPL 3. Nothing outside depends on the engine."""
