"""The passes for image models: locate, derive (`keys`), solve and verify, and what they share."""
