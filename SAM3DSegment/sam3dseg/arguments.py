"""Clicks, boxes and colours as written on the command line, and the options that commands share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .prompts import Box, Click

if TYPE_CHECKING:
    from .imageio import Image


def _numbers(text: str, count: int) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count or not all(abs(v) < 1e9 for v in values):
        raise argparse.ArgumentTypeError(f"expected {count} numbers separated by commas, received {text!r}")
    return values


def parse_click(text: str) -> tuple[tuple[float, ...], bool]:
    return _numbers(text[:-1] if text[-1:] in "+-" else text, 3), not text.endswith("-")


def parse_box(text: str) -> tuple[float, ...]:
    return _numbers(text, 6)


def parse_name(text: str) -> str:
    if not text.split():
        raise argparse.ArgumentTypeError(f"expected a name with at least one letter, received {text!r}")
    return " ".join(text.split())


def parse_color(text: str) -> tuple[float, float, float]:
    if not re.fullmatch(r"#?[0-9a-fA-F]{6}", text):
        raise argparse.ArgumentTypeError(f"expected a colour such as 35d07f, received {text!r}")
    red, green, blue = bytes.fromhex(text.lstrip("#"))
    return red / 255, green / 255, blue / 255


def to_click(values: Sequence[float], is_foreground: bool, image: Image, *, at_ras: bool) -> Click:
    from .promptfiles import click_at_ras

    if at_ras:
        return click_at_ras(values, image, is_foreground=is_foreground)
    return Click(_indices(values), is_foreground)


def to_box(values: Sequence[float], image: Image, *, at_ras: bool) -> Box:
    from .promptfiles import box_at_ras

    if at_ras:
        return box_at_ras(values[:3], values[3:], image)
    return Box(_indices(values[:3]), _indices(values[3:]))


def _indices(values: Sequence[float]) -> tuple[int, int, int]:
    if any(value != int(value) for value in values):
        raise ValueError(f"expected integer voxel indices, received {tuple(values)}; add --ras for millimetres")
    i, j, k = (int(value) for value in values)
    return i, j, k


def with_negative_values(argv: Sequence[str]) -> list[str]:
    """Join options and values such as `--click -12,3,4`, which would otherwise look like another option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in ("--click", "--box") and re.match(r"-[\d.]", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def add_command(commands: argparse._SubParsersAction, name: str, **texts: Any) -> argparse.ArgumentParser:
    """A command's parser, which takes -v as well."""
    command = commands.add_parser(name, formatter_class=argparse.RawDescriptionHelpFormatter, **texts)
    command.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="say more")
    return command


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which model runs, where, and how precisely."""
    parser.add_argument("--model", default="embedded", metavar="NAME|PATH",
                        help="embedded (default), a name of `sam3dseg models`, or a weights file")  # fmt: skip
    add_device_options(parser)


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Where a model runs."""
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    parser.add_argument("--precision", default="auto",
                        help="auto (default: the fastest that `sam3dseg check` found good, else float32), float32, "
                        "bfloat16, float16 or int8")  # fmt: skip
