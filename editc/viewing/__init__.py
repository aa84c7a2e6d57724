"""Pages to look at: a delta, the folder of a build or a fleet, served on this machine or written as files."""
