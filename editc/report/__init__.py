"""The report of a build: its record as JSON, and the page that shows it."""
