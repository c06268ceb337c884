"""DMA engines that no PC has: one scrubs RAM, one hashes it."""
