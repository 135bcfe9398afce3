"""Measurements behind the README's figures; each file prints one claim."""
