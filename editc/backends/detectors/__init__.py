"""Detectors: who says whether a picture shows a concept. One file a kind; `editc.core.registry` has their names."""
