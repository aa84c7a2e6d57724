"""The manifest: its shape, reading it, and the rules over the whole of it."""
