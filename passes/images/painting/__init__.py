"""Painting and judging pictures before and after an edit, and attacks on it."""
