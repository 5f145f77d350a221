"""Models that come with this package, a folder each: weights, config, and README.md, a card that says what they are."""

from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the models' names, as `Lifter.load` and `mixste lift --model` take them."""
    return sorted(card.parent.name for card in FOLDER.glob("*/README.md"))


def any_model() -> str:
    """Say what may name a model, these and others."""
    return f"models:/NAME@ALIAS, a model folder, an official checkpoint, or one of mixste's own: {', '.join(names())}"
