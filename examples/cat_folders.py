"""The photographs of the cat examples: a folder of cats and a folder of anything else, or practice pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from photo_classifier import parse
from photographs import Photographs, load_photographs, practice_folder
from practice_pictures import draw_practice_pictures

FOLDERS = {"cats": "folder of photographs of cats", "others": "folder of photographs of anything else"}


def parse_with_cats(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, or end the program with status 2 and a line that describes the mistake."""
    options = parse(parser, arguments)
    if (options.cats is None) != (options.others is None):
        parser.error("--cats and --others go together: give both folders, or none for practice pictures")
    return options


def load_cats(options: argparse.Namespace) -> Photographs:
    """Return the photographs of the given folders, or practice pictures; label 1 is a cat."""
    cats, others = options.cats, options.others
    if cats is None:
        cats, others = draw_practice_pictures(practice_folder(options, "--cats DIR --others DIR"))
    return load_photographs(options, {"cat": cats, "not cat": others}, positive="cat")
