"""Suggest: propose names, targets, weights and preserved concepts by trying them."""
