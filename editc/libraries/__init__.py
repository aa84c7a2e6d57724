"""Other people's libraries: which are installed, what they print, and how they load a network."""
