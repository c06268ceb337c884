"""The commands about fault-injection campaigns."""
