"""Locate: which matrices of an image model are edited."""
