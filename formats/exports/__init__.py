"""A delta in the spelling of another program, one format a file."""
