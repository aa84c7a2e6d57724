"""Derive: which rows of which prompts are edited, which targets they take, and what is preserved."""
