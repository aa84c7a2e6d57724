"""What the text encoder makes of prompts: the rows of a phrase, of a stream, of a whole list."""
