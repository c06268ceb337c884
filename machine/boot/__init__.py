"""The boot loader: `loader.load` puts an image, its modules and the boot information into RAM, and starts it."""
