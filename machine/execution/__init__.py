"""What is done at each stop of the processor."""
