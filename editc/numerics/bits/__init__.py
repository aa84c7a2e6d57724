"""Numbers as they are stored: dtypes, quantised blocks, planes of bits, rounding, sketches."""
