"""System calls, model-specific registers and port permissions."""
