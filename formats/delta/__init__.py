"""The delta as a file: its container, its description, its checks, and the parts of a linked delta."""
