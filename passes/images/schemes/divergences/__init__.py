"""How two answers are compared, one file each."""
