"""A small plan, for tests of commands."""

PLAN = """
[campaign]
payload = "beacon"

[sampling]
method = "all"

[[faults]]
model = "instruction"
where = ["skip"]
instructions = [116800, 116803]
"""
