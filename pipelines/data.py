"""Before the pipeline: make the sample if it is wanted and absent, and say whether data/ is what data.dvc names."""

import logging
from pathlib import Path

import yaml

from mixste.errors import MixsteError
from pipelines.params import load
from pipelines.provenance import data_hash
from pipelines.stage import run

DATA = Path("data")
log = logging.getLogger(__name__)


def committed_hash(path: Path = Path("data.dvc")) -> str | None:
    """Return the hash of data/ in data.dvc; None without that file."""
    if not path.is_file():
        return None
    return str(yaml.safe_load(path.read_text(encoding="utf-8"))["outs"][0]["md5"])


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
    committed = committed_hash()
    if committed is None:
        return "there is no data.dvc: `dvc add data` lets DVC and the results name the data they are of"
    if data_hash(DATA) == committed:
        return None
    return (
        "data/ is not what data.dvc names. The results will be of what lies there now, and `dvc repro` will rewrite "
        "data.dvc. To keep it: dvc add data. To go back: git checkout data.dvc && dvc checkout data.dvc "
        "(the sample: remove data/ and run make data)"
    )


def main() -> None:
    """Run the check."""
    params = load()
    provide(Path(params.data.folder), synthetic=params.data.synthetic)
    problem = difference()
    if problem:
        log.warning("note: %s", problem)


if __name__ == "__main__":
    run(main)
