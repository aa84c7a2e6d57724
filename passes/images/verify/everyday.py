"""Everyday things that text-to-image models paint: candidates for bystanders where a detector can judge any word."""

from __future__ import annotations

_WORDS = """
dog cat horse cow sheep pig chicken bird duck eagle owl fish shark frog snake bee butterfly spider bear lion
elephant monkey man woman child baby soldier doctor nurse police chef farmer dancer king clown robot statue hand
face car bus truck train bicycle motorcycle boat ship airplane helicopter road bridge house church castle tower
window door garden park forest tree flower grass leaf mountain river lake beach sea island desert snow rain cloud
sun moon star fire rock bread pizza cake apple banana orange tomato egg cheese soup coffee wine cup bottle plate
knife spoon table chair sofa bed lamp clock mirror book newspaper letter map flag painting camera telephone
television computer keyboard guitar piano violin drum ball kite umbrella hat shoe coat dress glasses ring bag key
box candle balloon toy rope hammer sword gun
"""
THINGS: tuple[str, ...] = tuple(_WORDS.split())
"""The candidates, in a fixed order. Chosen by hand."""
