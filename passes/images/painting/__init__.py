"""Pictures before and after an edit."""
