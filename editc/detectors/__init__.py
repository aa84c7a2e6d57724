"""Detectors: who says whether a picture shows a concept. One file a kind; `editc.registry` has their names."""
