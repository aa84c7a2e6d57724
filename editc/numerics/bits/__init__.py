"""Stored numbers: dtypes, planes of bits, quantised blocks, rounding, sketches."""
