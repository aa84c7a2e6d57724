"""Solve: from systems of equations to edits in factors, with the searches for strengths and pulls."""
