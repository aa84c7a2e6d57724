"""Publish a delta with its evidence, and pull it again: into a folder, an OCI registry or the Hugging Face hub."""
