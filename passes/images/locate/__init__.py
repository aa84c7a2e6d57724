"""Which matrices of an image model carry a concept."""
