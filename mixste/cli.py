# PYTHON_ARGCOMPLETE_OK
"""The command `mixste`: one subcommand a job, one clear message for a user's error.

A shell completes it after `eval "$(register-python-argcomplete mixste)"`.
"""

import argparse
import os
from collections.abc import Sequence

from mixste.commands import doctor, export, import_checkpoint, info, lift, size, view
from mixste.commands.terminal import complain
from mixste.errors import MixsteError

# Each subcommand imports what it needs when it runs: `mixste --help` does not wait for torch.
COMMANDS = (lift, view, info, export, import_checkpoint, size, doctor)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand; a MixsteError ends it with its message on stderr and exit status 1, without a traceback."""
    whole = parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(whole)
    options = whole.parse_args(arguments)
    try:
        options.run(options)
    except MixsteError as error:
        complain(f"error: {error}")
        raise SystemExit(1) from None


def parser() -> argparse.ArgumentParser:
    """Return the parser of all subcommands."""
    whole = argparse.ArgumentParser(
        prog="mixste",
        description="Lift 2D keypoints to 3D human motion.",
        epilog="`mixste COMMAND --help` has examples. A shell completes commands and options after\n"
        '  eval "$(register-python-argcomplete mixste)"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for each in COMMANDS:
        each.add(commands)
    return whole


if __name__ == "__main__":
    main()
