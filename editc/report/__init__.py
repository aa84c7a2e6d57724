"""The report of a build: its record as JSON, and the HTML page that shows the record."""
