"""A model by any of its names: registered, a folder, an official checkpoint, or one that comes with the package."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mixste import zoo
from mixste.errors import MixsteError
from mixste.models.checkpoint import CONFIG, WEIGHTS
from mixste.registry import is_registered, pull


@contextmanager
def model_folder(model: str | Path, tracking_uri: str | None = None) -> Iterator[Path]:
    """Yield the folder of weights and config of `models:/NAME@ALIAS`, of a checkpoint's file, or the one named.

    A folder may be named by one of its two files, too, and one of `mixste.zoo` by its name, unless a file or folder
    has that. Those of registries and checkpoints end with the block. MixsteError if there is no such model.
    """
    with TemporaryDirectory(prefix="mixste-") as place:
        if is_registered(model):
            yield pull(str(model), Path(place), tracking_uri)
        elif Path(model).name in (WEIGHTS, CONFIG):
            yield Path(model).parent
        elif Path(model).is_file():
            from mixste.official.importing import import_checkpoint

            yield import_checkpoint(Path(model), Path(place) / "model").folder
        else:
            yield Path(model) if Path(model).exists() else _of_zoo(str(model))


def _of_zoo(name: str) -> Path:
    if name in zoo.names():
        return zoo.FOLDER / name
    raise MixsteError(f"no model {name}", found="no file or folder of that name", expected=zoo.any_model())
