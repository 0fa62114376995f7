"""Delimited text as people have it: separators, decimal commas, lines around the table, codes of digits."""

from __future__ import annotations

import csv
import datetime
from typing import Any

import pytest

from claude_magic.prompt.values import table_files
from claude_magic.prompt.values.files import of_data
from claude_magic.prompt.values.formats import delimited

GERMAN = "ort;menge;preis\nNord;1;0,5\nSued;2;0,25\nWest;3;0,125\nOst;4;0,75\n"


def columns(text: str, usual: str = ",") -> dict[str, list[Any]]:
    found = delimited.read(text, usual, 100, 40)
    assert found is not None
    return {name: list(values) for name, values in found.values.items()}


def notes(text: str) -> list[str]:
    found = delimited.read(text, ",", 100, 40)
    assert found is not None
    return list(found.notes)


@pytest.mark.parametrize("separator", delimited.SEPARATORS)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_each_separator_is_found_out_whatever_the_name_says(separator: str, name: str) -> None:
    text = "name,n,x\nNord,1,0.5\nOst,2,0.75\n".replace(",", separator)
    (document,) = of_data(text.encode(), name).content
    shown = document["source"]["data"]
    assert "2 rows × 3 columns" in shown and "min 0.5, max 0.75, mean 0.625" in shown
    assert shown.endswith(f"The whole file:\n{text}")


def test_decimal_commas_are_numbers_and_that_is_said() -> None:
    assert columns(GERMAN)["preis"] == [0.5, 0.25, 0.125, 0.75]
    assert columns(GERMAN)["menge"] == [1, 2, 3, 4]
    assert notes(GERMAN) == ["Read with semicolons between the fields and decimal commas."]
    assert columns("a;b\n1,5;x\n1.250,25;y\n")["a"] == [1.5, 1250.25]
    assert columns("1,5;2,5\n3,5;4,5\n5,1;6,2\n") == {"1,5": [3.5, 5.1], "2,5": [4.5, 6.2]}


def test_commas_that_may_be_of_either_kind_stay_text_and_that_is_said() -> None:
    text = "a;b\n1;1,234\n2;5,678\n"
    assert columns(text)["b"] == ["1,234", "5,678"]
    assert notes(text)[1].startswith("Left as text, for the commas in them may be decimal") and "b." in notes(text)[1]
    assert columns('a,b\n"1,234",2\n"5,678",3\n')["a"] == ["1,234", "5,678"]


def test_codes_survive() -> None:
    found = columns(
        "zip,country,n,long,phone\n01234,NA,1,12345678901234567890,+491\n90210,US,NA,1,+492\n10115,,3,2,+493\n"
    )
    assert found["zip"] == ["01234", "90210", "10115"]
    assert found["country"] == ["NA", "US", None]
    assert found["n"] == [1, None, 3]
    assert found["long"] == ["12345678901234567890", "1", "2"]
    assert found["phone"] == ["+491", "+492", "+493"]
    assert columns("c,b,d\nNA,TRUE,2026-01-02\nNA,NA,2026-01-03\n") == {
        "c": ["NA", "NA"],
        "b": [True, None],
        "d": [datetime.datetime(2026, 1, 2), datetime.datetime(2026, 1, 3)],
    }
    assert columns("d\n2026-02-31\n")["d"] == ["2026-02-31"]


@pytest.mark.parametrize(
    ("above", "told"),
    [
        ("# Export\n# of today\n\n", "2 lines above the header: # Export / # of today"),
        ("Sales report\n", "1 line above the header: Sales report"),
        ("Sales,,\nBy region,,\n", "2 lines above the header: Sales,, / By region,,"),
    ],
)
def test_lines_above_the_header_are_no_rows(above: str, told: str) -> None:
    text = f"{above}name,n,x\nNord,1,0.5\nOst,2,0.75\n"
    assert columns(text) == {"name": ["Nord", "Ost"], "n": [1, 2], "x": [0.5, 0.75]}
    assert notes(text) == [told]


def test_what_programs_write_is_read_as_they_mean_it() -> None:
    assert columns("sep=;\na;b\n1;2\n") == {"a": [1], "b": [2]}
    assert columns("mpg,cyl\nMazda,21,6\nFord,22.8,4\n") == {
        "Unnamed: 0": ["Mazda", "Ford"],
        "mpg": [21.0, 22.8],
        "cyl": [6, 4],
    }
    assert columns("a,b,\n1,2,\n3,4,\n") == {"a": [1, 3], "b": [2, 4]}
    assert columns("a,a,\n1,2,3\n") == {"a": [1], "a.1": [2], "Unnamed: 2": [3]}
    assert columns('n,t\n"Doe, John","two\nlines"\n') == {"n": ["Doe, John"], "t": ["two\nlines"]}
    assert columns("id,tags\n1,a;b\n2,c;d\n")["tags"] == ["a;b", "c;d"]
    assert columns("number\n1\n2\n") == {"number": [1, 2]}


def test_rows_without_a_header_and_fields_between_spaces_are_rows() -> None:
    text = "5.1,3.5,0\n4.9,3.0,1\n"
    assert columns(text) == {"column 1": [5.1, 4.9], "column 2": [3.5, 3.0], "column 3": [0, 1]}
    assert notes(text) == ["There is no header: the columns are numbered."]
    assert columns("400.5,401.0\n1,2\n") == {"400.5": [1], "401.0": [2]}  # wavelengths
    assert columns("x   y\n1   2.5\n3   4.5\n") == {"x": [1, 3], "y": [2.5, 4.5]}
    assert notes("x   y\n1   2.5\n3   4.5\n") == ["Read with white space between the fields."]
    assert columns("name\nAnn Lee\nBob Ray\n") == {"name": ["Ann Lee", "Bob Ray"]}


def test_rows_without_values_and_those_that_leave_fields_out_are_rows() -> None:
    assert columns("a,b\n1,2\n,\n\n3,4\n") == {"a": [1, None, 3], "b": [2, None, 4]}
    text = "a,b,c\n1,2,3\n" + "4,5\n" * 9
    assert columns(text)["c"] == [3, *[None] * 9] and notes(text) == ["9 rows have fewer fields than the header."]


def test_lines_that_are_no_rows_are_left_out_and_counted() -> None:
    text = "a,b\n" + "1,2\n" * 30 + "3,4,5\n6\n7,8\nSource: X\n"
    found = columns(text)
    assert len(found["a"]) == 32 and found["a"][-2:] == [6, 7] and found["b"][-2:] == [None, 8]
    assert notes(text) == [
        "1 line below the rows is left out.",
        "1 line with more fields than the header is left out.",
        "1 row has fewer fields than the header.",
    ]


@pytest.mark.parametrize(
    "text", ["Dear all,\nthis is, as you see, a letter.\nIt goes on; and on.\n", "a,b\n1\n2,3,4\n5,6,7,8\n"]
)
def test_what_cannot_be_told_goes_as_text_with_a_word(text: str) -> None:
    made = of_data(text.encode(), "letter.csv")
    assert made.content[0]["source"]["data"] == text
    assert made.about[0] == "no table: its lines have different numbers of fields"


def test_a_field_may_be_long_and_the_limit_of_the_process_stays() -> None:
    limit = csv.field_size_limit()
    assert columns(f"n,text\n1,{'x' * 200_000}\n")["text"] == ["x" * 200_000]
    assert delimited.read("," * 100_000, ",", 100, 40) is None
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_every_library_has_the_same_columns(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    readers = {name: read for name, read in table_files._COLUMN_READERS.items() if name == library}
    monkeypatch.setattr(table_files, "_COLUMN_READERS", readers)
    shown = table_files.summary(b"", GERMAN, "a.csv", None, whole=True)
    assert f"4 rows × 3 columns ({library})" in shown and "min 0.125, max 0.75, mean 0.40625" in shown


def test_of_a_long_table_the_first_rows_are_read_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "MAX_TABLE_ROWS", 50)
    text = "a;b\n" + "".join(f"{number};1,5\n" for number in range(200))
    shown = table_files.summary(text.encode(), text, "a.csv", None, whole=True)
    assert shown.startswith("The first 50 of 200 rows of a.csv.\nRead with semicolons") and "max 49, mean 24.5" in shown
