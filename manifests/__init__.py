"""The front end: from the text of a manifest to a `Manifest`, or to everything that is wrong with it at once."""
