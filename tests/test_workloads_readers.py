"""Readers of traces: round trips, laziness, memory, and an error that says where for each fault."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import ConfigError, TraceError
from workloads.arrivals import Poisson, TraceTimes
from workloads.azure import AzureLlm
from workloads.demand import Demand
from workloads.request_lengths import RequestLengths
from workloads.table import RequestTable

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
GOOD = "2023-11-16 18:15:46.6805900,374,44"


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def azure(folder: Path, *lines: str, end: str = "\n", limit: int | None = None) -> list[Demand]:
    path = folder / "trace.csv"
    path.write_bytes(end.join((*lines, "")).encode())
    return list(AzureLlm(path, limit).demands(rng()))


def table(folder: Path, suffix: str, content: str | bytes | pa.Table) -> list[Demand]:
    path = folder / f"requests{suffix}"
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(RequestTable(path).demands(rng()))


# --- Azure -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_azure_times_are_exact_and_count_from_the_first_row(tmp_path: Path, end: str) -> None:
    demands = azure(
        tmp_path,
        HEADER,
        GOOD,
        "2023-11-16 18:15:46.6805900,7,1",
        "2023-11-16 18:15:46.6805901,7,1",
        "2023-11-16 18:15:50.9951690,396,109",
        "2023-11-17 00:00:00,1,2",
        "2023-11-17T00:00:00.5Z,1,2",
        "2023-11-17 00:00:01.000000+00:00,1,2",
        end=end,
    )
    assert demands[0] == Demand(374, 44, 0.0)
    assert [d.arrival_s for d in demands] == [
        0.0,
        0.0,
        1e-7,
        4.314579,
        20653.31941,
        20653.81941,
        20654.31941,
    ]


def test_azure_columns_are_found_by_name_and_a_byte_order_mark_passes(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    text = "ContextTokens,GeneratedTokens,TIMESTAMP\n3,4,2023-11-16 18:15:46\n"
    path.write_text(text, encoding="utf-8-sig")
    assert list(AzureLlm(path).demands(rng())) == [Demand(3, 4, 0.0)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((HEADER,), "has a header and no request"),
        ((), "is empty; it must start with a header"),
        (("TIMESTAMP,ContextTokens", GOOD), "has no column GeneratedTokens; its columns are: TIM"),
        ((f"{HEADER},Model", f"{GOOD},x"), "has a column 'Model'; it may have: TIMESTAMP"),
        ((f"{HEADER},TIMESTAMP", f"{GOOD},x"), "has column TIMESTAMP twice"),
        ((HEADER, GOOD, "2023-11-16 18:15:47,5"), "line 3: has 2 columns; the header has 3"),
        ((HEADER, GOOD, GOOD + ",9"), "line 3: has 4 columns"),
        ((HEADER, GOOD, ""), "line 3: is blank"),
        ((HEADER, GOOD, "2023-11-16 18:15:46.5,5,5"), "line 3, column TIMESTAMP: '2023-.* sort"),
        ((HEADER, "yesterday,5,5"), "line 2, column TIMESTAMP: 'yesterday' is not a time such as"),
        ((HEADER, "2023-02-30 18:15:46,5,5"), "line 2, column TIMESTAMP: '2023-02-30 18:15:46'"),
        ((HEADER, "2023-11-16 18:15:46+02:00,5,5"), "column TIMESTAMP"),
        ((HEADER, GOOD.replace("374", "-3")), "line 2, column ContextTokens: '-3' is not a whole"),
        ((HEADER, GOOD.replace("374", "0")), "line 2, column ContextTokens: 0 is not"),
        ((HEADER, GOOD.replace("374", "nan")), "line 2, column ContextTokens: 'nan'"),
        ((HEADER, GOOD.replace("374", "3.5")), "line 2, column ContextTokens: '3.5'"),
        ((HEADER, GOOD.replace("374", "")), "line 2, column ContextTokens: ''"),
        ((HEADER, GOOD.replace("374", "1_0")), "line 2, column ContextTokens: '1_0'"),
        ((HEADER, GOOD.replace("374", "٣")), "line 2, column ContextTokens: '٣'"),
        ((HEADER, GOOD.replace("374", "9" * 5000)), r"ContextTokens: '9+\.\.\. is not a whole"),
        ((HEADER, GOOD.replace("374", "2147483648")), "ContextTokens: 2147483648 is not a whole"),
        ((HEADER, GOOD[:-2] + "0"), "line 2, column GeneratedTokens: 0 is not"),
        ((HEADER, GOOD[:-2] + "many"), "line 2, column GeneratedTokens: 'many'"),
        ((HEADER, GOOD, '"2023'), "line 3: is not CSV: unexpected end of data"),
    ],
)
def test_azure_faults_are_named(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(TraceError, match=f"trace.csv.*{message}"):
        azure(tmp_path, *lines) if lines else azure(tmp_path, end="")


def test_azure_limit_stops_before_a_fault_and_rows_before_a_fault_come(tmp_path: Path) -> None:
    lines = (HEADER, GOOD, GOOD, "broken")
    assert len(azure(tmp_path, *lines, limit=2)) == 2
    supply = AzureLlm(tmp_path / "trace.csv").demands(rng())
    assert len(list(islice(supply, 2))) == 2
    with pytest.raises(TraceError, match="line 4"):
        next(supply)


# --- Orrery's own format ---------------------------------------------------------------------

CELLS = st.tuples(
    st.integers(1, 2**31 - 1),
    st.integers(1, 2**31 - 1),
    st.floats(0.0, 1e12),
    st.text("aé東 ,;'\"#\r\n", max_size=8),
)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(CELLS, min_size=1, max_size=8),
    with_times=st.booleans(),
    with_kind=st.booleans(),
    backwards=st.booleans(),
)
def test_tables_round_trip(
    tmp_path: Path,
    suffix: str,
    rows: list[tuple[int, int, float, str]],
    with_times: bool,
    with_kind: bool,
    backwards: bool,
) -> None:
    rows = sorted(rows, key=lambda row: row[2])
    columns: dict[str, list[object]] = {
        "prompt_tokens": [row[0] for row in rows],
        "output_tokens": [row[1] for row in rows],
    }
    if with_times:
        columns["arrival_s"] = [row[2] for row in rows]
    if with_kind:
        columns["kind"] = [row[3] for row in rows]
    if backwards:
        columns = dict(reversed(columns.items()))
    path = tmp_path / f"requests{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table(columns), path, row_group_size=3)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = [
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
            ]
            if suffix == ".csv":
                writer = csv.DictWriter(file, list(columns))
                writer.writeheader()
                writer.writerows(lines)
            else:
                file.writelines(json.dumps(line) + "\n" for line in lines)
    expected = [
        Demand(p, o, at if with_times else None, kind if with_kind else "")
        for p, o, at, kind in rows
    ]
    read = list(RequestTable(path).demands(rng()))
    assert read == expected
    assert {type(value) for d in read for value in d[:2]} == {int}
    assert list(RequestTable(path, limit=2).demands(rng())) == expected[:2]


def test_parquet_takes_any_integer_type_and_dictionaries(tmp_path: Path) -> None:
    content = pa.table(
        {
            "prompt_tokens": pa.array([1, 2], pa.uint16()),
            "output_tokens": pa.array([3, 4], pa.int32()),
            "arrival_s": pa.array([0, 5], pa.int64()),
            "kind": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    assert table(tmp_path, ".parquet", content) == [Demand(1, 3, 0.0, "a"), Demand(2, 4, 5.0, "b")]


TWO = "prompt_tokens,output_tokens"
ALL = "arrival_s,prompt_tokens,output_tokens,kind"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (f"{TWO}\n", "holds no request"),
        ("prompt_tokens,arrival_s\n1,2\n", "has no column output_tokens"),
        (f"{TWO},model\n1,2,x\n", "has a column 'model'; it may have: prompt_tokens, output_tok"),
        (f"{TWO}\n1,2\n1\n", "line 3: has 1 columns; the header has 2"),
        (f"{TWO}\n1,2\n-1,2\n", "line 3, column prompt_tokens: '-1'"),
        (f"{TWO}\n1,2.0\n", "line 2, column output_tokens: '2.0'"),
        (f"{ALL}\n0,1,1,a\n,1,1,a\n", "line 3, column arrival_s: ''"),
        (f"{ALL}\nnan,1,1,a\n", "line 2, column arrival_s: nan is not a time in seconds"),
        (f"{ALL}\ninf,1,1,a\n", "line 2, column arrival_s: inf"),
        (f"{ALL}\n-0.5,1,1,a\n", "line 2, column arrival_s: -0.5"),
        (f"{ALL}\n1_0,1,1,a\n", "line 2, column arrival_s: '1_0'"),
        (f"{ALL}\n3,1,1,a\n2,1,1,a\n", "line 3, column arrival_s: 2.0 is not at or after the 3.0"),
        (f"{TWO}\n1,2\n".encode() + b"\xff,2\n", "line 3: is not text"),
        (b"PAR1\x00\x00\x00\x00", "has no column prompt_tokens|is not CSV"),
        (f"{TWO}\n" + "1" * 200_000 + ",2\n", "line 2: is not CSV: field larger"),
    ],
)
def test_csv_faults_are_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(TraceError, match=f"requests.csv.*({message})"):
        table(tmp_path, ".csv", content)


LINE = '{"prompt_tokens": 1, "output_tokens": 2}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no request"),
        (f"{LINE}\n\n", "line 2: is blank"),
        (f"{LINE}\n{LINE[:-1]}\n", "line 2: is not JSON"),
        ("[1, 2]\n", r"line 1: \[1, 2\] is not a JSON object such as"),
        ("{}\n", "has no column prompt_tokens"),
        ('{"prompt_tokens": 1}\n', "has no column output_tokens"),
        (f'{LINE[:-1]}, "model": "x"}}\n', "has a column 'model'"),
        (f'{LINE[:-1]}, "output_tokens": 3}}\n', "line 1: is not JSON: a key stands twice"),
        (f'{LINE}\n{LINE[:-1]}, "kind": "x"}}\n', "line 2: has 'kind', unlike the first line"),
        (f'{LINE[:-1]}, "kind": "x"}}\n{LINE}\n', "line 2: has no kind, unlike the first line"),
        (LINE.replace("1", "1.0"), "line 1, column prompt_tokens: 1.0 is not a whole number"),
        (LINE.replace("1", "true"), "line 1, column prompt_tokens: True"),
        (LINE.replace("1", '"1"'), "line 1, column prompt_tokens: '1'"),
        (LINE.replace("1", "NaN"), "line 1, column prompt_tokens: nan"),
        (LINE.replace("1", "null"), "line 1, column prompt_tokens: None"),
        (f'{LINE[:-1]}, "arrival_s": null}}', "line 1, column arrival_s: None is not a value"),
        (f'{LINE[:-1]}, "arrival_s": true}}', "line 1, column arrival_s: True"),
        (f'{LINE[:-1]}, "arrival_s": 1{"0" * 400}}}', r"line 1, column arrival_s: 10+\.\.\."),
        (f'{LINE[:-1]}, "arrival_s": Infinity}}', "line 1, column arrival_s: inf"),
        (f'{LINE[:-1]}, "kind": 5}}', "line 1, column kind: 5 is not text"),
        (b'\xff\xfe{"a": 1}', "line 1: is not text"),
        ("[" * 100_000, "line 1: is not JSON"),
    ],
)
def test_jsonl_faults_are_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(TraceError, match=f"requests.jsonl.*{message}"):
        table(tmp_path, ".jsonl", content)


def columns(**more: object) -> pa.Table:
    return pa.table({"prompt_tokens": [1, 2, 3], "output_tokens": [4, 5, 6], **more})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a parquet file that can be read"),
        (b"prompt_tokens,output_tokens\n1,2\n", "is not a parquet file"),
        (columns().slice(0, 0), "holds no request"),
        (columns().drop(["output_tokens"]), "has no column output_tokens"),
        (columns(model=["x"] * 3), "has a column 'model'"),
        (columns(prompt_tokens=[1.0, 2.0, 3.0]), "column prompt_tokens is of double; .* integer"),
        (columns(prompt_tokens=[1, 0, 3]), "row 2, column prompt_tokens: 0"),
        (columns(output_tokens=[1, 2, None]), "row 3, column output_tokens: None"),
        (columns(arrival_s=["a", "b", "c"]), "column arrival_s is of string; .* seconds"),
        (columns(arrival_s=[0.0, float("nan"), 1.0]), "row 2, column arrival_s: nan"),
        (columns(arrival_s=[0.0, 2.0, 1.0]), "row 3, column arrival_s: 1.0 is not at or after"),
        (columns(kind=[1, 2, 3]), "column kind is of int64; it must be a string type"),
        (columns(kind=["a", None, "b"]), "row 2, column kind: None"),
    ],
)
def test_parquet_faults_are_named(tmp_path: Path, content: bytes | pa.Table, message: str) -> None:
    with pytest.raises(TraceError, match=f"requests.parquet.*{message}"):
        table(tmp_path, ".parquet", content)


def test_a_null_far_into_a_parquet_file_is_named_by_its_row(tmp_path: Path) -> None:
    lengths: list[int | None] = [5] * 10_000
    lengths[9_000] = None
    content = pa.table({"prompt_tokens": lengths, "output_tokens": [1] * 10_000})
    with pytest.raises(TraceError, match="row 9001, column prompt_tokens"):
        table(tmp_path, ".parquet", content)


@pytest.mark.parametrize("make", [AzureLlm, RequestTable])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_files_that_cannot_be_read_are_named_when_read_not_before(
    tmp_path: Path, make, suffix: str
) -> None:
    missing = make(tmp_path / f"missing{suffix}").demands(rng())
    with pytest.raises(TraceError, match=rf"missing{suffix}: cannot be read: .*No such file"):
        next(missing)
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(TraceError, match=rf"folder{suffix}: cannot be read"):
        next(make(tmp_path / f"folder{suffix}").demands(rng()))


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"path is t.json; its suffix must be one of .csv, .jso"):
        RequestTable("t.json")
    with pytest.raises(ConfigError, match="limit is 0; it must be a whole number of at least 1"):
        AzureLlm("t.csv", limit=0)
    with pytest.raises(ConfigError, match=r"limit is 2\.5"):
        RequestTable("t.csv", limit=2.5)  # type: ignore[arg-type]


def rows_of(suffix: str, path: Path, count: int) -> None:
    """A file of `count` requests, a tenth of a second apart."""
    if suffix == ".parquet":
        content = {
            "prompt_tokens": np.full(count, 700),
            "output_tokens": np.full(count, 90),
            "arrival_s": np.arange(count) * 0.1,
        }
        pq.write_table(pa.table(content), path)
        return

    def lines() -> Iterator[str]:
        if suffix == ".csv":
            yield f"{ALL}\n"
        for n in range(count):
            if suffix == ".csv":
                yield f"{n * 0.1!r},700,90,chat\n"
            else:
                yield f'{{"prompt_tokens": 700, "output_tokens": 90, "arrival_s": {n * 0.1!r}}}\n'

    with path.open("w") as file:
        file.writelines(lines())


@pytest.mark.parametrize(
    ("suffix", "count"), [(".csv", 100_000), (".jsonl", 50_000), (".parquet", 50_000)]
)
def test_demands_stream_from_a_file_in_two_megabytes(
    tmp_path: Path, suffix: str, count: int
) -> None:
    path = tmp_path / f"requests{suffix}"
    rows_of(suffix, path, count)
    supply = RequestTable(path).demands(rng())
    next(supply)
    tracemalloc.start()
    try:
        replayed = enumerate(TraceTimes().times(supply, rng()), 2)
        ((number, (last, _)),) = deque(replayed, maxlen=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (number, last) == (count, pytest.approx(0.1 * (count - 1)))
    assert peak < 2e6


def test_reading_is_lazy_and_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    rows_of(".csv", path, 50_000)
    supply = Poisson(1.0).times(RequestTable(path).demands(rng()), rng())
    assert next(supply)[1].arrival_s == 0.0
    path.write_text("gone")  # the supply holds only its buffer of the old text
    del supply


# --- NEO's lengths ---------------------------------------------------------------------------


def lengths(folder: Path, content: str, limit: int | None = None) -> list[Demand]:
    path = folder / "lengths.json"
    path.write_text(content)
    return list(RequestLengths(path, limit).demands(rng()))


def test_lengths_in_the_order_of_the_file(tmp_path: Path) -> None:
    content = '[{"prompt": 9, "max_tokens": 2}, {"max_tokens": 3, "prompt": 7}]'
    assert lengths(tmp_path, content) == [Demand(9, 2), Demand(7, 3)]
    assert lengths(tmp_path, content, limit=1) == [Demand(9, 2)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", "is not JSON"),
        ("{}", "is not a list of requests"),
        ("[]", "is not a list of requests"),
        ('[{"prompt": 9, "max_tokens": 2}, 3]', "entry 2: 3 is not an object such as"),
        ('[{"prompt": 9}]', "entry 1: .* is not an object such as"),
        ('[{"prompt": 9, "max_tokens": 0}]', "entry 1, column max_tokens: 0 is not a whole"),
        ('[{"prompt": 9.5, "max_tokens": 1}]', "entry 1, column prompt: 9.5 is not a whole"),
    ],
)
def test_bad_lengths(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        lengths(tmp_path, content)


def test_lengths_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read"):
        list(RequestLengths(tmp_path / "none.json").demands(rng()))
