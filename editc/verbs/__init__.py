"""What editc does, one verb a file: the workflows behind `editc.api` and the command line."""
