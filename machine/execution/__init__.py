"""The work at each stop of the processor: interrupts, exceptions, instructions that Unicorn must not execute."""
