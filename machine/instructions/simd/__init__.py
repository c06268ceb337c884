"""SSE instructions that Unicorn does not execute as the manual says."""
