"""From keys and values to factors."""
