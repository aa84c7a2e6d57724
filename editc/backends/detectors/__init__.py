"""Detectors judge whether a picture shows a concept. Each kind has one file; `editc.registry.detectors` lists their
names."""
