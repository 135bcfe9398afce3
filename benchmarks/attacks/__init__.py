"""Attacks: programs that try to make minidl lose work, answer wrongly in silence, hang, or leave things behind.

Each file that `catalogue` lists is one attack, a function `run(count, seed) -> Outcome`.
"""
