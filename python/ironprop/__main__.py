"""The command line: ``python -m ironprop``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from ironprop import __version__, demo, show_config

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130  # the shells' code for a program that Ctrl-C ended: 128 + SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after the program's name; by default those of the process.

    Returns
    -------
    int
        The exit code.
    """
    try:
        parser = _parser()
        command = parser.parse_args(arguments).command
        if command == "demo":
            code = demo.run()
        elif command == "config":
            code = _print_config()
        else:
            parser.print_help()
            code = 0
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # who read our output has gone, as in `| head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ironprop",
        description="Forward and backward propagation for dense neural networks.",
    )
    parser.add_argument("--version", action="version", version=f"ironprop {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("demo", help="train two small nets, one on real handwritten digits")
    commands.add_parser("config", help="show how ironprop was built and what it runs on")
    return parser


def _print_config() -> int:
    """Print `show_config`, one entry a line."""
    config = show_config()
    width = max(map(len, config))
    for name, value in config.items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        print(f"{name:{width}}  {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
