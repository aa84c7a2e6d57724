"""Write a delta in the spelling of another program: one module per format."""
