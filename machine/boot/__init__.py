"""The boot loader: puts an image, its modules and the boot information into RAM, and starts it.

Start at `machine.boot.loader.load`.
"""
