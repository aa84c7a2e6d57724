"""Many edits over many models: a plan becomes cells, an engine runs those that have no result yet, a page shows all."""
