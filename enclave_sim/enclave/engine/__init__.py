"""Guest engines: what executes WebAssembly at CPL 3. Nothing outside asks which one runs."""
