"""The tutorial of a signed patch and the pages for users of other programs: every command runs, in the order of the
page, and prints what the page shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import page_inputs
import pytest
from pages import blocks, follow
from places import DOCS, ROOT

HOW_TO = DOCS / "how-to"
NOT_RUN = ("installs editc", "needs an account", "takes a minute")
"""What a page may not run: how the reasons begin."""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="the page makes its keys with openssl")
def test_the_tutorial_goes_from_nothing_to_a_signed_patch(tmp_path: Path) -> None:
    """With fewer and coarser pictures than the page, so that its figures are not compared."""
    (tmp_path / "editc").symlink_to(ROOT / "editc")
    few = "steps: 2, prompts_per_concept: 2, bystanders: {near: 1, far: 1, pictures: 1}"
    swaps = {"steps: 12": few, "green, costs: green": "amber, costs: amber"}
    ran = follow(DOCS / "tutorial" / "signed-patch.md", tmp_path, swaps, smaller=True, unseen=["verdict:"])
    assert len(ran) == 24 and (tmp_path / "patch" / "client" / "edit").is_dir()


def test_the_page_for_users_of_uce(tmp_path: Path) -> None:
    page_inputs.write_uce(tmp_path / "uce_models" / "circle.safetensors")
    assert len(follow(HOW_TO / "from-uce.md", tmp_path)) == 5


def test_the_page_for_users_of_rece(tmp_path: Path) -> None:
    page_inputs.write_rece(tmp_path / "0.0100-1.pt")
    assert len(follow(HOW_TO / "from-rece.md", tmp_path)) == 4


def test_the_page_for_users_of_mergekit(tmp_path: Path) -> None:
    page_inputs.write_language_models(*(tmp_path / name for name in ("base", "edited", "tuned")))
    assert len(follow(HOW_TO / "from-mergekit.md", tmp_path)) == 7


def test_the_page_for_those_who_have_a_lora(tmp_path: Path) -> None:
    page_inputs.write_lora(tmp_path / "lora.safetensors")
    assert len(follow(HOW_TO / "from-a-lora.md", tmp_path)) == 5


def test_every_block_that_is_not_run_says_why() -> None:
    pages = [DOCS / "tutorial" / "signed-patch.md", *HOW_TO.glob("from-*.md")]
    reasons = {block.why for page in pages for block in blocks(page) if block.why}
    assert not [why for why in reasons if not why.startswith(NOT_RUN)]


def test_the_page_for_users_of_easyedit(tmp_path: Path) -> None:
    """On a pico model, which learns no fact, so that figures and verdicts are not compared."""
    page_inputs.write_language_models(*(tmp_path / name for name in ("smollm2", "edited", "tuned")))
    swaps = {"louvre.yaml": "louvre.yaml --set sites.layers=1-2 --set constraints.bystander_loss=1"}
    assert len(follow(HOW_TO / "from-easyedit.md", tmp_path, swaps, smaller=True, unseen=["bystander_loss"])) == 5
