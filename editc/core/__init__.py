"""Values, ports and diagnostics that everything else is made of; numpy only."""
