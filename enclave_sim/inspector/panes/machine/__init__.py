"""Panes that show the machine."""
