"""User-named files: size limits for reading, and safe writing."""
