"""Where the keys of an edit are read, and the values it is to have there."""
