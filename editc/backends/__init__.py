"""Adapters that implement the ports of `editc.core`: everything that loads torch, and the cache on disk."""
