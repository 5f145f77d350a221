"""conf/ composed as Hydra does, with what a command line chooses."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixste.errors import MixsteError, did_you_mean

CONF = Path("conf")
_CHOICE = re.compile(r"~\w.*|\+{0,2}\w[\w./@:$-]*=.*", re.DOTALL)
_HYDRAS = re.compile(r"""[\w/\\+.%*@?|: -]*|['"[{].*|\w+\(.*\)""", re.ASCII)  # values that its grammar can read


def compose(overrides: Sequence[str] = (), conf: Path = CONF) -> Any:
    """Compose `conf` as Hydra does, with overrides like `data=cmu` or `finetune.epochs=5`; MixsteError if it cannot."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    check_choices(overrides, "data=sample")
    what = f"cannot compose {conf} with {' '.join(overrides) or 'its defaults'}"
    for group, _, name in (text.partition("=") for text in overrides):  # Hydra passes over one of an optional group
        file = conf / group.lstrip("+") / f"{name}.yaml"
        if re.fullmatch(r"\w+", name) and name != "null" and file.parent.is_dir() and not file.exists():
            raise _absent(what, file)
    try:
        with initialize_config_dir(str(conf.resolve()), version_base=None):
            composed = hydra_compose("config", overrides=[_override(text, conf) for text in overrides])
        OmegaConf.resolve(composed)
    except MissingConfigException as error:
        raise _absent(what, conf / f"{error.missing_cfg_file}.yaml") from error
    except (HydraException, OmegaConfBaseException, TypeError, ValueError) as error:  # Hydra's are not all of its kind
        found = (str(error.__cause__ or error).splitlines() or [""])[0]
        expected = "GROUP=NAME of a file in conf/, or KEY=VALUE of a key there"
        raise MixsteError(what, found=found, expected=expected) from error
    return composed


def check_choices(choices: Sequence[str], example: str) -> None:
    """MixsteError unless each choice of a command line is KEY=VALUE."""
    if strange := [text for text in choices if not _CHOICE.fullmatch(text)]:
        expected = f"KEY=VALUE without spaces around =, as {example}"
        raise MixsteError("these choices cannot be read", found=" ".join(strange), expected=expected)


def quoted(text: str) -> str:
    """Return text as a value of an override that Hydra reads as this text, whatever is in it."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.double).with_quotes()


def _override(text: str, conf: Path) -> str:
    """An override as Hydra can read it: a URI or a sentence behind `=` needs no quotes of its own.

    A key that does not exist is set all the same: `build` knows the keys and refuses it with a suggestion.
    """
    key, equals, value = text.partition("=")
    chosen = (conf / key.partition("@")[0]).is_dir() and not value.startswith("{")  # a file of a group
    forced = "" if chosen or key[0] in "+~" else "++"
    return f"{forced}{key}{equals}{value if _HYDRAS.fullmatch(value) else quoted(value)}"


def _absent(what: str, file: Path) -> MixsteError:
    there = sorted(path.stem for path in file.parent.glob("*.yaml"))
    expected = f"one of {', '.join(there)}{did_you_mean(file.stem, there)}" if there else f"that {file} exists"
    return MixsteError(what, found=f"no {file}", expected=expected)
