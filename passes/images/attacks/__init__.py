"""Attacks on an erased concept, one file each; the table of names is `editc.registry.attacks`."""
