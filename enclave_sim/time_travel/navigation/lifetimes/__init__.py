"""Lifetimes of secrets: every place that holds a copy or a derivative of marked bytes, from when to when."""
