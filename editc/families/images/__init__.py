"""Families of text-to-image models, a file for each part of a pipeline that is edited."""
