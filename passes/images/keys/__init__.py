"""Which rows of which prompts are edited, to what, and what is preserved."""
