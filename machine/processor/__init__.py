"""The processor: Unicorn, its clock, its hooks and what it has translated."""
