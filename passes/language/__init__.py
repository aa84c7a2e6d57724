"""The passes for language models, where they differ from those for image models: `locate`, `keys` (derive), `solve` and
`verify`, and what these share."""
