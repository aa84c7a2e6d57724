"""What can be named in a manifest or on the command line. Each file has one table: editc's own names and those of
plugins."""
