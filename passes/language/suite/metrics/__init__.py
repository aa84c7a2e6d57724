"""The metrics of a suite, one file each. Names and formulas are those of open-unlearning, so that figures compare."""
