"""Where two recordings part, and how the rest of them lines up."""
