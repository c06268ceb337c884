"""The processor: Unicorn, its clock, its hooks and its translations."""
