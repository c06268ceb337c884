"""The boot loader: `loader.load` loads an image, its modules and the boot information into RAM, and starts it."""
