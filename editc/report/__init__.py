"""The report of a build: its record as JSON, and the HTML page that shows the record."""

DELTA, REPORT, PAGE = "delta.safetensors", "report.json", "report.html"
"""The files that a build writes into its folder."""
