"""Fills the tables of the README from the JSON files that the benchmarks wrote, with date and machine.

    python Testing/Benchmarks/readme_tables.py [--folder bench-output] [--readme README.md]

What stands between <!-- benchmarks: NAME --> and <!-- /benchmarks: NAME --> is replaced; all else stays.  A block whose
JSON file is missing, or says that the benchmark was skipped, keeps its figures with their old date.  Figures that are
drawn are copied from the folder to where the README shows them.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from readme_blocks import BLOCKS, PICTURES

MARK = re.compile(r"(<!-- benchmarks: (\w+) -->\n)(.*?)(<!-- /benchmarks: \2 -->)", re.DOTALL)


def filled(readme: str, results: dict[str, dict[str, Any]]) -> tuple[str, list[str]]:
    """The README with the blocks of these results filled, and the names of the blocks that stay as they are."""
    left: list[str] = []

    def block(match: re.Match[str]) -> str:
        start, name, _, end = match.groups()
        result = results.get(name)
        if result is None or "skipped" in result or name not in BLOCKS:
            left.append(name)
            return match.group()
        return f"{start}{BLOCKS[name](result)}\n\n{source(result)}\n{end}"

    return MARK.sub(block, readme), left


def source(result: dict[str, Any]) -> str:
    """Where the figures of a block come from, in one line."""
    command = {"gpu": "latency.py --device cuda"}.get(result["benchmark"], f"{result['benchmark']}.py")
    where = f"{result['device']}, {result['machine']}" if "device" in result else result["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    threads = f"{result['threads']} thread{'s' * (result['threads'] != 1)}"
    return f"<sub>`{command}`, {result['date']}: {where}, {threads}; {packages}</sub>"


def copy_pictures(folder: Path, root: Path, names: Sequence[str]) -> None:
    """Put the drawn figures of these blocks where the README shows them. Raises ValueError when one is missing."""
    for name in (name for name in PICTURES if name in names):
        drawn, shown = folder / f"{name}.webp", root / PICTURES[name]
        if not drawn.exists():
            raise ValueError(f"expected the figure {drawn} beside its JSON file; run `make bench ONLY={name}` again")
        shown.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(drawn, shown)


def main(argv: Sequence[str] | None = None) -> int:
    """Fill the README; 2 with one readable line on bad input."""
    parser = argparse.ArgumentParser(description="Fill the README's tables from the benchmarks' JSON files.")
    parser.add_argument("--folder", type=Path, default=Path("bench-output"), help="folder with the JSON files")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    args = parser.parse_args(argv)
    try:
        text = args.readme.read_text(encoding="utf-8")
        paths = {name: args.folder / f"{name}.json" for name in BLOCKS}
        results = {name: json.loads(path.read_text("utf-8")) for name, path in paths.items() if path.exists()}
        new, left = filled(text, results)
        done = [name for _, name, _, _ in MARK.findall(text) if name not in left]
        copy_pictures(args.folder, args.readme.parent, done)
    except (OSError, ValueError, KeyError) as error:
        print(f"readme_tables.py: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    args.readme.write_text(new, encoding="utf-8")
    print(f"filled: {', '.join(done) or 'nothing'}; as before: {', '.join(left) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
