"""The delta as a file: container, description, checks, and the parts of a linked one."""
