"""Locate: the stages of a manifest, and the layers and matrices that each of them edits."""
