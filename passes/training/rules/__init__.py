"""How the gradients of what erases and of what stays are joined, one file each."""
