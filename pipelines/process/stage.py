"""The entry point that every verb shares: environment first, one clear message for a user's error."""

import logging
import sys
from collections.abc import Callable

from mixste.errors import MixsteError
from pipelines.process.environment import set_environment


def run(main: Callable[[], None]) -> None:
    """Run a stage; a `MixsteError` ends it with its message on stderr and exit status 1, without a traceback."""
    set_environment()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("ray", "mlflow", "alembic", "httpx", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        main()
    except MixsteError as error:
        sys.stderr.write(f"\nerror: {error}\n")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; run the same command again: a training goes on from its last epoch\n")
        raise SystemExit(130) from None
