"""The command `mixste`: what it prints, what it writes, and how it fails."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mixste.cli import COMMANDS, main, parser
from mixste.commands.size import HEAD
from mixste.models.checkpoint import load_model
from tests.unit.official import layouts

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkpoint(tmp_path):
    return layouts.save_mixste(tmp_path / "best_epoch.bin", layouts.random_weights(layouts.mixste(16, 2, 9)))


def test_size_prints_a_table_of_every_model_and_length(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    main(["size", "pstmo_s", "stcformer", "--frames", "27", "243"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert re.split(r"  +", head) == list(HEAD)
    assert [row.split()[:2] for row in rows] == [[name, t] for name in ("pstmo_s", "stcformer") for t in ("27", "243")]
    assert rows[1].split() == ["pstmo_s", "243", "17", "6,482,278", "4,101", "739,190,784", "863,901,696", "2,656,036"]
    assert rows[3].split()[-1] == "-"
    assert len({len(row) for row in (head, *rows)}) == 1


def test_size_prints_all_models_of_conf_by_default(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    main(["size"])
    named = {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]}
    assert named == {path.stem for path in (root / "conf/model").glob("*.yaml")}


def test_import_checkpoint_writes_a_folder_beside_the_file_and_says_what_it_found(checkpoint, tmp_path, capsys):
    main(["import-checkpoint", str(checkpoint)])
    said = capsys.readouterr().out
    assert "MixSTE: 9 frames, 17 joints (h36m17), 50 fps" in said
    assert "heads 8" in said
    assert "licence" in said
    assert load_model(tmp_path / "best_epoch")[0](torch.zeros(1, 9, 17, 2)).shape == (1, 9, 17, 3)


def test_import_checkpoint_takes_the_users_word_for_skeleton_fps_and_folder(checkpoint, tmp_path, capsys):
    main(
        ["import-checkpoint", str(checkpoint), "--output", str(tmp_path / "a/b"), "--skeleton", "coco17", "--fps", "25"]
    )
    config = load_model(tmp_path / "a/b")[1]
    assert (config.skeleton, config.fps) == ("coco17", 25.0)


def test_a_users_error_is_one_message_and_exit_status_1(checkpoint, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["import-checkpoint", str(checkpoint), "--frames", "27"])
    assert stopped.value.code == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: the MixSTE in {checkpoint} is not of 27 frames; found: 9 in its weights")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


RATES = [["import-checkpoint", "a.bin", f"--fps={rate}"] for rate in ("0", "-25", "nan", "fast")]


@pytest.mark.parametrize("arguments", [[], ["sizes"], ["size", "--frames", "0"], ["size", "--joints", "many"], *RATES])
def test_wrong_arguments_are_explained_with_exit_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: mixste" in capsys.readouterr().err


SLOW = ("torch", "numpy", "scipy", "yaml", "mlflow", "ray", "requests", "argcomplete", "inspect")


def test_help_waits_for_nothing_slow():
    code = "import sys; from mixste.cli import main\ntry: main(['--help'])\n"
    code += f"except SystemExit: sys.stderr.write(' '.join(set({SLOW}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr == ""
    assert "lift a file of 2D keypoints" in done.stdout


@pytest.mark.parametrize("each", COMMANDS, ids=lambda module: module.__name__.split(".")[-1])
def test_the_help_of_every_command_has_examples_that_its_options_allow(each, capsys):
    name = each.__name__.split(".")[-1].replace("_", "-")
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out.split("examples:\n")[1].splitlines()
    examples = [shlex.split(line.partition("mixste ")[2]) for line in shown]
    assert examples
    for example in examples:
        assert parser().parse_args(example).run is each.run


def test_a_shell_completes_commands_options_and_layouts(tmp_path):
    def completed(line):
        out = tmp_path / "completed"
        environment = {**os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
        environment |= {"_ARGCOMPLETE_STDOUT_FILENAME": str(out), "_ARGCOMPLETE_IFS": "\n", "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-m", "mixste.cli"], env=environment, capture_output=True, check=False)
        return out.read_text().split()

    assert completed("mixste do") == ["doctor"]
    assert completed("mixste lift in.json --smooth-") == ["--smooth-root"]
    assert completed("mixste lift in.json --skeleton body") == ["body25", "body25b"]
