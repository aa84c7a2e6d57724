"""From problems to factors, and how strong an edit is."""
