"""Families of models: one value of `editc.core.family.Family` for each kind of model that editc edits."""
