"""What can be named in a manifest or on the command line: one table a file, editc's own names and those of plugins."""
