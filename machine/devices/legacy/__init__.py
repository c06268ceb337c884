"""Devices of the PC: interrupt controller, timer, serial port and others."""
