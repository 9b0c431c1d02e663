"""One file for each API: check, call, shape the reply. No state of its own."""
