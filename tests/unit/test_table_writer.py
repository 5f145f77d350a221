"""What is written piece by piece: the same bytes however it is cut, whole or not at all, in bounded memory."""

import weakref
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixste import table
from mixste.errors import MixsteError
from mixste.table import read_table
from mixste.table_writer import write_table
from tests.unit.memory import peak
from tests.unit.test_table import EXPECTED, METADATA, columns


@pytest.fixture
def path(tmp_path):
    write_table(tmp_path / "t.parquet", [columns()], METADATA)
    return tmp_path / "t.parquet"


def cut(edges):
    """The same rows in pieces."""
    whole = columns()
    return ({name: values[start:end] for name, values in whole.items()} for start, end in pairwise([0, *edges, 50]))


def test_types_on_disk(path):
    schema = pq.read_schema(path)
    assert pa.types.is_fixed_size_list(schema.field("joints").type)
    assert schema.field("joints").type.list_size == 51
    assert pa.types.is_dictionary(schema.field("trial").type)
    assert b'"unit": "m"' in schema.metadata[b"mixste"]


def test_same_columns_same_bytes(path, tmp_path):
    write_table(tmp_path / "again.parquet", [columns()], METADATA)
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("edges", [(), (0, 1, 1, 50), (7, 14, 40), (16, 32, 48), tuple(range(1, 50))])
def test_the_same_rows_are_the_same_bytes_however_they_are_cut(tmp_path, monkeypatch, edges):
    monkeypatch.setattr(table, "ROWS_PER_GROUP", 16)
    write_table(tmp_path / "whole.parquet", [columns()], METADATA)
    assert write_table(tmp_path / "cut.parquet", cut(edges), METADATA) == 50
    assert (tmp_path / "cut.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    found = pq.read_metadata(tmp_path / "cut.parquet")
    assert [found.row_group(number).num_rows for number in range(found.num_row_groups)] == [16, 16, 16, 2]


def test_a_text_stands_for_all_rows_of_its_piece(tmp_path, path):
    pieces = ({**piece, **{name: piece[name][0] for name in ("trial", "subject", "action")}} for piece in cut((20, 40)))
    write_table(tmp_path / "texts.parquet", pieces, METADATA)
    assert (tmp_path / "texts.parquet").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("pieces", [[], [{name: values[:0] for name, values in columns().items()}]])
def test_nothing_to_write_is_no_file(tmp_path, pieces):
    assert write_table(tmp_path / "t.parquet", pieces, METADATA) == 0
    assert list(tmp_path.iterdir()) == []


def test_columns_of_unequal_length_leave_nothing_behind(tmp_path):
    with pytest.raises(MixsteError, match="lengths"):
        write_table(tmp_path / "t.parquet", [{"trial": ["a"], "frame": np.arange(2)}], METADATA)
    assert not list(tmp_path.iterdir())


def test_pieces_of_other_columns_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "ROWS_PER_GROUP", 16)
    other = {name: values for name, values in columns().items() if name != "action"}
    with pytest.raises(MixsteError, match=r"t\.parquet; found: columns .*; expected: columns .*'action'"):
        write_table(tmp_path / "t.parquet", [columns(), other], METADATA)
    assert not list(tmp_path.iterdir())


def test_an_error_on_the_way_leaves_what_was_there_before(path, monkeypatch):
    monkeypatch.setattr(table, "ROWS_PER_GROUP", 16)
    before = path.read_bytes()

    def pieces():
        yield columns()
        raise MixsteError("the next file is damaged")

    with pytest.raises(MixsteError, match="next file"):
        write_table(path, pieces(), METADATA)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_memory_holds_a_piece_and_a_row_group_however_many_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "ROWS_PER_GROUP", 100)
    alive: list[weakref.ref] = []

    def pieces(count):
        for _ in range(count):
            piece = columns()
            alive.append(weakref.ref(piece["joints"]))
            yield piece
            assert sum(reference() is not None for reference in alive) <= 4  # two of a group, this one, the last

    def write(count):
        write_table(tmp_path / "t.parquet", pieces(count), METADATA)

    write(4)
    assert peak(lambda: write(200)) < 1.3 * peak(lambda: write(20))
    assert len(read_table(tmp_path / "t.parquet", **EXPECTED)[0]["trial"]) == 20 * 50


def test_a_table_without_rows_leaves_no_file_from_before(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"old")
    assert write_table(path, iter(()), METADATA) == 0
    assert not path.exists()
