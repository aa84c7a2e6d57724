"""The key rules, one file each. `editc.registry.key_rules` has the table of their names."""
