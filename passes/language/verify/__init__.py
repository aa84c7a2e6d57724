"""Verify: ask the model before and after the edit, and turn its answers into claims and warnings."""
