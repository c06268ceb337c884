"""The local APIC and the I/O APIC."""
