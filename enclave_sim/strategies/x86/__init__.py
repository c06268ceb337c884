"""Strategies for machine code in ring 3."""
