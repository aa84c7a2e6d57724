"""The key rules, one file each; the table of names is `editc.registry.key_rules`."""
