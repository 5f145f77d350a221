"""The subcommands of `mixste`, a file each: `add` describes one to argparse, and its `run` imports what it needs."""
