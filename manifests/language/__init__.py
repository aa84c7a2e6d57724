"""What manifests for language models have of their own."""
