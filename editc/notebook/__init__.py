"""What results look like in a notebook: short tables of HTML. Nothing in them is fetched, and all text is escaped."""
