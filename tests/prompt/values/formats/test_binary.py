"""Formats that Claude cannot read are named, with the line that loads them; nothing is loaded."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from claude_magic.errors import PromptError
from claude_magic.prompt.values.files import of_data, of_path

FRAME = pandas.DataFrame({"n": [1, 2], "w": ["a", "b"]})


class Trap:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was loaded",))


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


def _sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (n)")
    connection.close()


WRITTEN: list[tuple[str, Callable[[Path], Any], str, str]] = [
    ("a.feather", FRAME.to_feather, "a Feather file", "frame = pandas.read_feather({})"),
    ("a.orc", FRAME.to_orc, "an ORC file", "frame = pandas.read_orc({})"),
    ("a.dta", FRAME.to_stata, "a Stata file", "frame = pandas.read_stata({})"),
    ("old.dta", lambda path: FRAME.to_stata(path, version=114), "a Stata file", "frame = pandas.read_stata({})"),
    ("a.pkl", lambda path: path.write_bytes(pickle.dumps(Trap())), "a Python pickle", "data = pandas.read_pickle({})"),
    ("b.pkl", lambda path: path.write_bytes(pickle.dumps(Trap(), 0)), "a Python pickle", "pandas.read_pickle({})"),
    ("a.joblib", lambda path: path.write_bytes(pickle.dumps(Trap())), "a Python pickle", "it runs code: "),
    ("a.npy", lambda path: numpy.save(path, [1, 2]), "a NumPy array", "array = numpy.load({})"),
    ("a.npz", lambda path: numpy.savez(path, x=[1], y=[2]), "an archive of NumPy arrays", "(it holds x, y)"),
    ("a.sqlite", _sqlite, "an SQLite database", "sqlite3.connect({})"),
    ("a.csv.gz", lambda path: path.write_bytes(gzip.compress(b"a,b\n1,2\n")), "a gzip archive", "pandas.read_csv({})"),
    ("a.tsv.bz2", lambda path: path.write_bytes(bz2.compress(b"a\tb\n")), "a bzip2 archive", r"read_csv({}, sep='\t')"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "write", "what", "load"), WRITTEN, ids=[row[0] for row in WRITTEN])
def test_a_format_is_named_with_the_line_that_loads_it(
    name: str, write: Callable[[Path], Any], what: str, load: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    write(path)
    with pytest.raises(PromptError) as caught:
        of_path(path)
    told = str(caught.value)
    assert f"{name} is {what}" in told and load.format(repr(str(path))) in told and told.endswith("Nothing was sent.")
    assert "\n" not in told


@pytest.mark.parametrize(
    ("data", "name", "what", "load"),
    [
        (_zip("xl/workbook.xml"), "a.xlsx", "an Excel workbook", "frame = pandas.read_excel('a.xlsx')"),
        (_zip("xl/workbook.xml"), "a.bin", "an Excel workbook", "frame = pandas.read_excel('a.bin')"),
        (_zip("mimetype", "content.xml"), "a.ods", "an OpenDocument spreadsheet", "takes the package odfpy"),
        (_zip("archive/data.pkl"), "a.pt", "a file of PyTorch", "torch.load('a.pt', weights_only=True)"),
        (_zip("word/document.xml"), "a.docx", "a ZIP archive, or an Office document", "save the document as PDF"),
        (b"\x1f\x8b\x08\0\0", "a.rds", "an R data file", "pyreadr.read_r('a.rds')"),
        (b"\x1f\x8b\x08\0\0", "a.tar.gz", "a gzip archive", "Unpack it first."),
        (b"$FL2@(#) SPSS\0", "a.sav", "an SPSS file", "pandas.read_spss('a.sav')"),
        (b"\x89HDF\r\n\x1a\n\0", "a.h5", "an HDF5 file", "pandas.read_hdf('a.h5', key='…')"),
        (b"MATLAB 5.0 MAT-file\0", "a.mat", "a MATLAB file", "scipy.io.loadmat('a.mat')"),
        (b"\0\0\1\2", "what's this.bin", "binary data of an unknown kind", "Convert it"),
    ],
)
def test_bytes_and_names_tell_a_format(data: bytes, name: str, what: str, load: str) -> None:
    with pytest.raises(PromptError) as caught:
        of_data(data, name)
    assert f"{name} is {what}" in str(caught.value) and load in str(caught.value)


def test_a_damaged_parquet_file_says_why_it_cannot_be_read() -> None:
    with pytest.raises(PromptError, match=r"a\.parquet cannot be read as a table: \w+"):
        of_data(b"PAR1" + b"x" * 100, "a.parquet")
