"""Before the pipeline: make the sample if it is wanted and absent, and say whether data/ is what data.dvc names.

A MLFLOW_TRACKING_URI that can never work is refused here, before anything is computed.
"""

import logging
import os
import subprocess
import sys
from pathlib import Path

import yaml

from mixste.errors import MixsteError
from mixste.files.hashing import data_hash
from pipelines.params import load
from pipelines.process.stage import run
from pipelines.tracking import store

DATA, RECORD = Path("data"), Path("data.dvc")
DVC = (sys.executable, "-m", "dvc")
log = logging.getLogger(__name__)


def recorded_hash(path: Path = RECORD) -> str | None:
    """Return the hash of data/ that data.dvc names as it lies here, committed or not; None without that file."""
    if not path.is_file():
        return None
    try:
        return str(yaml.safe_load(path.read_text(encoding="utf-8"))["outs"][0]["md5"])
    except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError) as error:
        expected = "what `dvc add data` writes"
        raise MixsteError(f"cannot read {path}", found=error, expected=expected, mend=f"git checkout {path}") from error


def refuse_outside(folder: Path) -> None:
    """Raise MixsteError if data.dvc names data/, which is absent, and the captures are to be somewhere else."""
    if RECORD.is_file() and not DATA.exists() and DATA.absolute() not in (place := _absolute(folder), *place.parents):
        raise MixsteError(
            f"no folder {DATA}, whose contents {RECORD} names",
            found=f"data.folder {folder}, which is not below {DATA}",
            expected=f"captures below {DATA}, so that DVC and the results name the data they are of",
            mend=f"put them below {DATA}, set data.folder in conf/data and run `make params` and `dvc add {DATA}`",
        )


def links(folder: Path) -> list[Path]:
    """Return the links to folders below a folder: DVC does not look into them."""
    below = (Path(place, name) for place, names, _ in os.walk(folder) for name in names)
    return sorted(path for path in below if path.is_symlink())


def refuse_links(folder: Path) -> None:
    """Raise MixsteError if captures lie behind links below `folder`, which may be one: results would become stale."""
    if found := links(folder):
        raise MixsteError(
            f"DVC does not see what changes in links to folders below {folder}",
            found=", ".join(map(str, found[:3])) + (f" and {len(found) - 3} more" if len(found) > 3 else ""),
            expected="folders",
            mend=f"copy or mount (mount --bind) them there, or let {folder} itself be the link",
        )


def provide(folder: Path, *, synthetic: bool) -> None:
    """Write the sample if `folder` is it and is absent; MixsteError if it is other data that is absent."""
    if folder.exists():
        return
    if not synthetic:
        raise MixsteError(
            f"no captures in {folder}", found="no such folder",
            mend="put them there and `dvc add data`, or `dvc pull`, or go back to the sample: make params data=sample",
        )  # fmt: skip
    from mixste.sample import write_sample

    log.info("making the synthetic sample in %s", folder)
    write_sample(folder)


def difference() -> str | None:
    """Say how data/ differs from data.dvc; None if it does not."""
    recorded = recorded_hash()
    if recorded is None:
        return "there is no data.dvc: `dvc add data` lets DVC and the results name the data they are of"
    if _is(recorded):
        found = ", ".join(map(str, links(DATA)))
        return f"data.dvc does not name what is in {found}, because DVC follows no links to folders" if found else None
    return (
        "data/ is not what data.dvc names. The results will be of what lies there now, and `dvc repro` will rewrite "
        "data.dvc. To keep it: dvc add data. To go back: git checkout data.dvc && dvc checkout data.dvc "
        "(the sample: remove data/ and run make data)"
    )


def _is(recorded: str) -> bool:
    """Say whether data/ is as recorded. DVC is asked first: it reads no file again that has kept its size and time."""
    asked = subprocess.run([*DVC, "status", "--json", str(RECORD)], capture_output=True, text=True)
    return asked.stdout.strip() == "{}" or data_hash(DATA) == recorded


def _absolute(folder: Path) -> Path:
    return Path(os.path.normpath(folder.absolute()))


def main() -> None:
    """Run the check."""
    params = load()
    store.default_store()
    refuse_outside(Path(params.data.folder))
    provide(Path(params.data.folder), synthetic=params.data.synthetic)
    refuse_links(Path(params.data.folder))
    problem = difference()
    if problem:
        log.warning("note: %s", problem)


if __name__ == "__main__":
    run(main)
