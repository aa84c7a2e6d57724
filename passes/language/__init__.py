"""The passes for language models, where they differ from those for image models; one file each."""
