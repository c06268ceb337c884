"""Instructions that the machine executes itself, or checks before Unicorn does (SDM volume 2).

The instruction hook stops before each of them. A rule is a function of the decoded `Instruction` at RIP. It raises the
`Fault` that the manual names, with nothing changed, or executes the instruction and returns what remains to be done, a
`Done`.
"""
