"""Whether a prompt can be tried here: whether the model is on this disk, and what runs it is installed."""

from __future__ import annotations

from editc.core.diagnostics import EditcError
from editc.formats.models.model import open_model
from editc.libraries.extras import install_command, missing_packages
from editc.viewing.subject import Subject

NEEDED = {False: ("torch", "transformers", "diffusers"), True: ("torch", "transformers")}
"""For a language model or not -> the packages that run it."""


def why_absent(subject: Subject) -> str:
    """Why no prompt can be tried, in a sentence. Empty where one can. Only the headers of the model are read."""
    if subject.delta is None:
        return "there is no delta here to put into a model."
    missing = missing_packages(*NEEDED[subject.language])
    if missing:
        return (
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed ({install_command('build')})."
        )
    if not subject.model:
        return "nothing here says which model it is. Start again with `--model MODEL`."
    try:
        model = open_model(subject.model)
    except EditcError as error:
        found = error.diagnostics[0].message
        return f"the model is not on this computer ({found}). Start again with `--model MODEL`, its path or its name."
    if model.layout != ("folder" if subject.language else "pipeline"):
        return f"{subject.model} is not a whole model. Start again with `--model FOLDER`."
    return ""
