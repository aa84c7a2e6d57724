"""Detectors: who says whether a picture shows a concept. One file a kind; the names are in `editc.registry`."""
