"""Adapters behind the ports: everything that loads torch, and the cache on disk."""
