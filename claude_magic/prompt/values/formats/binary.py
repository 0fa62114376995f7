"""Binary formats that Claude cannot read: what they are by their bytes and names, and the line that loads them.

Nothing is loaded here: a pickle runs code.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ....content.safely import try_or_none
from ....content.text import join_line, short

MAX_NAMES = 5


@dataclass(frozen=True)
class Binary:
    """A binary format in words, and what to do with a file of it."""

    what: str
    advice: str


@dataclass(frozen=True)
class _Format:
    """A format: how its bytes begin (a pattern), the suffixes of its names, and the expression that loads a file.

    `sends` is what is sent then; `needs` the package that is not of pandas or NumPy.
    """

    what: str
    begins: str = ""
    suffixes: Sequence[str] = ()
    load: str = ""
    sends: str = "frame"
    needs: str = ""


_PANDAS = "pandas.read_{}({{path}})"
_FORMATS = (
    _Format("a Feather file (Arrow)", r"ARROW1|FEA1", (".feather", ".arrow"), _PANDAS.format("feather")),
    _Format("an Arrow stream", r"\xff\xff\xff\xff", (".arrows",), "pyarrow.ipc.open_stream({path}).read_pandas()"),
    _Format("an ORC file", r"ORC", (".orc",), _PANDAS.format("orc")),
    _Format("a Stata file", r"<stata_dta>|[\x6c-\x73][\x01\x02]\x01", (".dta",), _PANDAS.format("stata")),
    _Format("a SAS file", r"\x00{12}\xc2\xea\x81\x60", (".sas7bdat",), _PANDAS.format("sas")),
    _Format("a SAS transport file", r"HEADER RECORD\*{7}LIB", (".xpt",), "pandas.read_sas({path}, format='xport')"),
    _Format("an SPSS file", r"\$FL[23]", (".sav", ".zsav"), _PANDAS.format("spss"), needs="pyreadstat"),
    _Format("a Python pickle", r"\x80[\x02-\x05]", (".pkl", ".pickle"), _PANDAS.format("pickle"), "data"),
    _Format("a file of joblib, which is a pickle", "", (".joblib",), "joblib.load({path})", "data"),
    _Format("a NumPy array", r"\x93NUMPY", (".npy",), "numpy.load({path})", "array"),
    _Format("an archive of NumPy arrays", "", (".npz",), "numpy.load({path})", "arrays"),
    _Format("an HDF5 file", r"\x89HDF", (".h5", ".hdf5", ".hdf"), "pandas.read_hdf({path}, key='…')"),
    _Format("a NetCDF file", r"CDF[\x01\x02\x05]", (".nc",), "xarray.open_dataset({path})", "data"),
    _Format("a MATLAB file", r"MATLAB 5\.0", (".mat",), "scipy.io.loadmat({path})", "data"),
    _Format("an R data file", r"RD[AX][23]\n", (".rds", ".rdata", ".rda"), "pyreadr.read_r({path})", "data"),
    _Format("an Avro file", r"Obj\x01", (".avro",), "polars.read_avro({path})"),
    _Format("a Parquet file", r"PAR1", (".parquet",), _PANDAS.format("parquet"), needs="pyarrow"),
    _Format(
        "an SQLite database",
        r"SQLite format 3",
        (".sqlite", ".sqlite3", ".db", ".gpkg"),
        "pandas.read_sql('select * from …', sqlite3.connect({path}))",
    ),
    _Format("a DuckDB database", r".{8}DUCK", (".duckdb",), "duckdb.connect({path}).sql('from …').df()"),
    _Format("a shapefile", r"\x00\x00\x27\x0a", (".shp",), "geopandas.read_file({path})"),
    _Format("a FlatGeobuf file", r"fgb\x03", (".fgb",), "geopandas.read_file({path})"),
    _Format("tensors of safetensors", "", (".safetensors",), "safetensors.numpy.load_file({path})", "tensors"),
    _Format("an Excel workbook of the old kind", "", (".xls",), _PANDAS.format("excel"), needs="xlrd"),
    _Format("a binary Excel workbook", "", (".xlsb",), _PANDAS.format("excel"), needs="pyxlsb"),
    _Format("a DICOM image", r".{128}DICM", (".dcm",), "pydicom.dcmread({path})", "image"),
)
# What is inside of a ZIP archive makes it one of these.
_EXCEL = _Format("an Excel workbook (a ZIP archive)", "", (".xlsx", ".xlsm"), _PANDAS.format("excel"), needs="openpyxl")
_SHEET = _Format("an OpenDocument spreadsheet", "", (".ods",), _PANDAS.format("excel"), needs="odfpy")
_TORCH = _Format(
    "a file of PyTorch, with a pickle in it", "", (".pt", ".pth"), "torch.load({path}, weights_only=True)", "data"
)
_NPZ = next(each for each in _FORMATS if ".npz" in each.suffixes)
_ZIPPED = ((r"xl/", _EXCEL), (r".*\.npy\Z", _NPZ), (r"[^/]*/?data\.pkl", _TORCH))
_PACKED = {b"\x1f\x8b": "a gzip archive", b"BZh": "a bzip2 archive", b"\xfd7zXZ": "an xz archive"}
_PACKED |= {b"\x28\xb5\x2f\xfd": "a Zstandard archive"}
_PACKED_TABLE = re.compile(r"\.(csv|tsv|json|jsonl|ndjson)\.(?:gz|bz2|xz|zst)\Z", re.IGNORECASE)
_PICKLED = re.compile("pickle|joblib|PyTorch")

# What has no line that loads it.
_ARCHIVE = "a ZIP archive, or an Office document, which is one"
_OTHERS = (
    (rb"PK\x03\x04", _ARCHIVE),
    (rb"\xd0\xcf\x11\xe0", "an old Office document"),
    (rb"7z\xbc\xaf", "a 7-Zip archive"),
    (rb"\x7fELF|MZ", "a program"),
    (rb"ID3|OggS|fLaC", "a sound file"),
    (rb"RIFF", "a sound or video file"),
    (rb"\x1aE\xdf\xa3", "a video"),
)
_BRANDS = dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "a HEIC image")
_BRANDS |= dict.fromkeys((b"avif", b"avis"), "an AVIF image")
_ADVICE = {
    _ARCHIVE: "Unpack it, save the document as PDF, or load the sheet and send the frame.",
    "an old Office document": "Save it as PDF, or load the sheet and send the frame.",
    "a 7-Zip archive": "Unpack it first.",
    "a HEIC image": "`pip install pillow-heif` has it read, or save it as JPEG.",
    "an AVIF image": "`pip install -U pillow` (11.3 or newer) has it read, or save it as JPEG.",
}
_CONVERT = "Convert it to text, an image or a PDF."


def look(data: bytes, name: str, path: Path | None) -> Binary:
    """What binary data is, by how it begins and by the name of its file."""
    suffix, where = Path(name).suffix.lower(), str(path if path is not None else name)
    if data[4:8] == b"ftyp":
        what = _BRANDS.get(data[8:12], "a video")
        return Binary(what, _ADVICE.get(what, _CONVERT))
    packed = next((what for begins, what in _PACKED.items() if data.startswith(begins)), None)
    if packed is not None and suffix not in (".rds", ".rdata", ".rda"):
        return Binary(packed, _unpacked(name, where))
    found = _by_bytes(data, name) or next(
        (each for each in (*_FORMATS, _EXCEL, _SHEET, _TORCH) if suffix in each.suffixes), None
    )
    if found is not None:
        return Binary(found.what, _loading(found, where, data))
    what = next((what for begins, what in _OTHERS if re.match(begins, data)), "binary data of an unknown kind")
    return Binary(what, _ADVICE.get(what, _CONVERT))


def is_pickle_by_name(name: str) -> bool:
    """Whether a file's name says that it is a pickle: one of the oldest protocol looks like text."""
    return Path(name).suffix.lower() in (".pkl", ".pickle", ".joblib")


def _by_bytes(data: bytes, name: str) -> _Format | None:
    for each in _FORMATS:
        if each.begins and re.match(each.begins.encode("latin-1"), data, re.DOTALL):
            return each
    members = _members(data)
    if any(member.startswith("mimetype") for member in members) and Path(name).suffix.lower() == ".ods":
        return _SHEET
    return next((each for pattern, each in _ZIPPED if any(re.match(pattern, member) for member in members)), None)


def _members(data: bytes) -> list[str]:
    """The names in a ZIP archive; empty for other data, and for an archive that is not whole."""
    if not data.startswith(b"PK\x03\x04"):
        return []
    read: Callable[[], list[str]] = partial(_names_in, data)
    return try_or_none(read) or []


def _names_in(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.namelist()


def _loading(found: _Format, where: str, data: bytes) -> str:
    load = found.load.format(path=repr(where))
    arrays = [short(join_line(each.removesuffix(".npy")), 40) for each in _members(data) if each.endswith(".npy")]
    sends = found.sends
    if found is _NPZ and arrays:
        load, sends = f"{load}[{arrays[0]!r}]", "array"
        more = ", …" if len(arrays) > MAX_NAMES else ""
        load += f" (it holds {', '.join(arrays[:MAX_NAMES])}{more})"
    careful = "if you trust where it is from, for loading it runs code: " if _PICKLED.search(found.what) else ""
    needs = f" It takes the package {found.needs}." if found.needs else ""
    return f"Load it, and send the {sends} as {{{{{sends}}}}}: {careful}{sends} = {load}.{needs}"


def _unpacked(name: str, where: str) -> str:
    table = _PACKED_TABLE.search(name)
    if table is None:
        return "Unpack it first."
    kind = "csv" if table[1].lower() in ("csv", "tsv") else "json"
    lines = ", lines=True" if table[1].lower() in ("jsonl", "ndjson") else ""
    lines = ", sep='\\t'" if table[1].lower() == "tsv" else lines
    load = f"frame = pandas.read_{kind}({where!r}{lines})"
    return f"Unpack it first, or load it, and send the frame as {{{{frame}}}}: {load}."
