"""Tables: what their columns become, by hand, and what is refused."""

import csv
import re

import numpy as np
import pytest
import torch

from nongreedy import data
from nongreedy.errors import DataError, MissingExtraError

from .extras import needs

ROWS = 40
RNG = np.random.default_rng(3)
AREA, ROOMS = RNG.normal(80, 20, ROWS).round(2), RNG.integers(1, 6, ROWS)
CITY = np.array(["Oslo", "Rome", "New York, NY"])[RNG.integers(0, 3, ROWS)]
PRICE = (3 * AREA + 10 * ROOMS + RNG.normal(0, 5, ROWS)).round(2)
ORDER = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0)).numpy()
TEST, VALIDATION, TRAIN = ORDER[:8], ORDER[8:13], ORDER[13:]  # 0.2 of all, 0.15 of the others


def written(path, columns, separator=",", end="\n", encoding="utf-8"):
    """A table as a spreadsheet writes it."""
    with path.open("w", newline="", encoding=encoding) as stream:
        writer = csv.writer(stream, delimiter=separator, lineterminator=end)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


@pytest.fixture
def houses(tmp_path):
    columns = {"area": AREA, "rooms": ROOMS, "city": CITY, "price": PRICE}
    return written(tmp_path / "houses.csv", columns)


def by_hand(rows, columns=(AREA, ROOMS)):
    """Numbers, standardised by those of the training rows."""
    return np.stack([(c[rows] - c[TRAIN].mean()) / c[TRAIN].std() for c in columns], 1)


def one_hot(rows, words):
    return (CITY[rows, None] == np.array(words)).astype(float)


def test_columns_are_standardised_by_training_rows_and_words_are_inputs(houses):
    splits = data.load(houses, target="price")
    words = sorted(set(CITY[TRAIN]))
    assert splits.columns == ("area", "rooms", *(f"city={word}" for word in words))
    for split, rows in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        inputs, targets = getattr(splits, split)
        expected = np.concatenate([by_hand(rows), one_hot(rows, words)], 1)
        torch.testing.assert_close(inputs, torch.from_numpy(expected).float())
        wanted = (PRICE[rows] - PRICE[TRAIN].mean()) / PRICE[TRAIN].std()
        torch.testing.assert_close(targets, torch.from_numpy(wanted).float()[:, None])
    assert (splits.name, splits.classes) == ("houses", ())
    assert splits.told[0] == (
        "2 columns of numbers, standardised by the mean and deviation of 27 training rows."
    )
    assert splits.told[1] == "city: 3 inputs, one for each of its words in the training rows."


def test_the_scale_brings_losses_back_to_the_units_of_the_column(houses):
    splits = data.load(houses, target="price")
    scale = splits.scale
    assert (scale.name, scale.mean) == ("price", pytest.approx(PRICE[TRAIN].mean()))
    assert scale.deviation == pytest.approx(PRICE[TRAIN].std())
    guess = torch.zeros(len(TEST), 1)  # the mean of the training part
    expected = np.sqrt(np.mean((PRICE[TEST] - PRICE[TRAIN].mean()) ** 2))
    assert scale.rmse(guess, splits.test[1]) == pytest.approx(expected, rel=1e-6)
    loss = torch.nn.functional.mse_loss(guess, splits.test[1]).item()
    assert scale.deviation * loss**0.5 == pytest.approx(expected, rel=1e-6)


def test_statistics_are_those_of_the_chosen_training_rows(houses):
    splits = data.load(houses, target="price", drop=["city"], train_examples=10)
    few = AREA[TRAIN[:10]]
    expected = (AREA[TEST] - few.mean()) / few.std()
    torch.testing.assert_close(splits.test[0][:, 0], torch.from_numpy(expected).float())


def test_words_that_no_training_row_has_are_zeros_and_counted(tmp_path):
    words = np.array(["a", "b"])[np.arange(ROWS) % 2].astype(object)
    words[VALIDATION[:2]], words[TEST[0]] = "new", "other"
    path = written(tmp_path / "t.csv", {"word": words, "area": AREA, "y": PRICE})
    splits = data.load(path, target="y")
    assert splits.columns == ("area", "word=a", "word=b")
    assert splits.validation[0][:2, 1:].tolist() == [[0, 0], [0, 0]]
    assert splits.test[0][0, 1:].tolist() == [0, 0]
    assert (splits.test[0][1:, 1:].sum(1) == 1).all()
    assert "word: 2 validation rows have other words, and 0 in all of these inputs." in splits.told
    assert "word: 1 test rows have other words, and 0 in all of these inputs." in splits.told


def test_what_is_constant_in_the_training_rows_is_left_out(tmp_path):
    odd, word = np.full(ROWS, 0.1), np.full(ROWS, "same", object)
    odd[TEST], word[VALIDATION] = 7.0, "else"
    columns = {"odd": odd, "area": AREA, "word": word, "y": PRICE}
    splits = data.load(written(tmp_path / "t.csv", columns), target="y")
    assert splits.columns == ("area",)
    assert splits.told[1] == "Left out, constant in the training rows: odd, word."


@pytest.mark.parametrize(
    ("column", "classes"),
    [
        (CITY, ("New York, NY", "Oslo", "Rome")),
        (np.where(ROOMS > 3, "True", "False"), ("False", "True")),
        (ROOMS, ("1", "2", "3", "4", "5")),
        (ROOMS - 3, ("-2", "-1", "0", "1", "2")),
        (np.arange(ROWS) % 20, tuple(map(str, range(20)))),
        (np.arange(ROWS) % 21, ()),
        (ROOMS * 1.0, ()),
        (PRICE, ()),
    ],
    ids=["words", "booleans", "whole", "negative", "twenty", "more", "written as 3.0", "real"],
)
def test_what_is_predicted(column, classes, tmp_path):
    path = written(tmp_path / "t.csv", {"area": AREA, "y": column})
    splits = data.load(path, target="y")
    assert splits.classes == classes
    targets = splits.train[1]
    if classes:
        assert (targets.dtype, targets.shape) == (torch.int64, (27,))
        shown = [str(each).removesuffix(".0") for each in column[TRAIN]]
        assert [classes[number] for number in targets] == shown
        assert splits.scale is None
    else:
        assert (targets.dtype, targets.shape) == (torch.float32, (27, 1))
        assert splits.scale.mean == pytest.approx(column[TRAIN].mean())


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"end": "\r\n"},
        {"encoding": "utf-8-sig"},
        {"separator": ";"},
        {"separator": "\t"},
        {"separator": ";", "end": "\r\n", "encoding": "utf-8-sig"},
    ],
    ids=str,
)
def test_files_of_other_programs_are_read_alike(form, houses, tmp_path):
    columns = {"area": AREA, "rooms": ROOMS, "city": CITY, "price": PRICE}
    (tmp_path / "other").mkdir()
    other = written(tmp_path / "other" / "houses.csv", columns, **form)
    plain, found = data.load(houses, target="price"), data.load(other, target="price")
    assert found.columns == plain.columns
    for split in ("train", "validation", "test"):
        for a, b in zip(getattr(found, split), getattr(plain, split), strict=True):
            assert torch.equal(a, b)


def test_spaces_empty_lines_and_capitals_of_the_suffix(tmp_path):
    rows = "\n\n".join(f' {k} ,  "a, b",{k % 7}.5 ' for k in range(30))
    (tmp_path / "t.CSV").write_text(f"\n x , word, y \n{rows}\n\n")
    splits = data.load(tmp_path / "t.CSV", target="y")
    assert splits.columns == ("x",)  # the word is constant
    assert splits.scale.name == "y"


def test_a_tsv_file_may_have_commas(tmp_path):
    rows = "".join(f"{k}\ta, b\t{k % 5}.5\n" for k in range(30))
    (tmp_path / "t.tsv").write_text("x, in m\tword\ty\n" + rows)
    assert data.load(tmp_path / "t.tsv", target="y").columns == ("x, in m",)


def test_large_offsets_keep_their_digits(tmp_path):
    stamps = 1_700_000_000 + np.arange(ROWS)  # float32 has steps of 128 here
    path = written(tmp_path / "t.csv", {"time": stamps, "y": PRICE})
    expected = torch.from_numpy(by_hand(TRAIN, [stamps.astype(float)])).float()
    torch.testing.assert_close(data.load(path, target="y").train[0], expected)


def test_many_rows_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("nongreedy.data._delimited._CELLS", 12)
    columns = {"area": AREA, "rooms": ROOMS, "city": CITY, "price": PRICE}
    splits = data.load(written(tmp_path / "t.csv", columns), target="price")
    torch.testing.assert_close(splits.test[0][:, :2], torch.from_numpy(by_hand(TEST)).float())
    assert torch.equal(
        splits.test[0][:, 2:], torch.from_numpy(one_hot(TEST, sorted(set(CITY)))).float()
    )


def test_a_hundred_thousand_columns(tmp_path):
    names = [f"gene{k}" for k in range(100_000)]
    rows = ["\t".join(map(str, RNG.integers(0, 9, 100_000))) for _ in range(6)]
    (tmp_path / "genes.tsv").write_text("\n".join(["\t".join(names), *rows]))
    with pytest.raises(DataError, match=r"gene0, gene1, .*gene19 and 99,980 more\.$"):
        data.load(tmp_path / "genes.tsv")
    with pytest.raises(DataError, match=r"no column 'gene100000'.* And 99980 more"):
        data.load(tmp_path / "genes.tsv", target="gene100000")
    assert data.load(tmp_path / "genes.tsv", target="gene7").train[0].shape[0] == 4


# --- Arrays of rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("images", [False, True])
def test_npz_with_real_targets(images, tmp_path):
    inputs = np.stack([AREA, ROOMS], 1)
    inputs = inputs.reshape(ROWS, 1, 1, 2) if images else inputs
    np.savez(tmp_path / "a.npz", x=inputs, y=PRICE[:, None])
    splits = data.load(tmp_path / "a.npz")
    assert splits.classes == () and splits.scale.name == "y"
    wanted = (PRICE[TEST] - PRICE[TRAIN].mean()) / PRICE[TRAIN].std()
    torch.testing.assert_close(splits.test[1][:, 0], torch.from_numpy(wanted).float())
    if not images:
        assert splits.columns == ("0", "1")
        torch.testing.assert_close(splits.test[0], torch.from_numpy(by_hand(TEST)).float())


def test_npz_with_rows_and_labels(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.stack([AREA, ROOMS], 1), y=ROOMS % 2)
    splits = data.load(tmp_path / "a.npz")
    assert splits.classes == ("0", "1") and splits.train[0].shape == (27, 2)


# --- What is refused ----------------------------------------------------------------------------

GOOD = "a,b,y\n" + "".join(f"{k},{k % 3}.5,{k * k}.5\n" for k in range(20))
BAD = {
    "empty": ("", {}, "t.csv is empty"),
    "blank lines": ("\n\n", {}, "t.csv is empty"),
    "header only": ("a,b,y\n", {}, "names of columns, but no rows"),
    "one row": ("a,b,y\n1,2,3.5\n", {}, "test=0.2 takes 1 of 1"),
    "no target": (GOOD, {"target": None}, "target='NAME' or --target NAME. It has a, b, y"),
    "misspelt target": (GOOD, {"target": "Y"}, "no column 'Y'.*Did you mean 'y'"),
    "misspelt drop": (GOOD, {"drop": ["c"]}, "no column 'c', which `drop` names"),
    "target dropped": (GOOD, {"drop": ["y"]}, "both: predicted .* and left out"),
    "nothing left": (GOOD, {"drop": ["a", "b"]}, "no column beside 'y'"),
    "two of a name": (GOOD.replace("a,b", "b, b"), {}, "several columns 'b'"),
    "no name": (GOOD.replace("a,b", ",b"), {}, "no name for column 1.*index=False"),
    "no header": (GOOD.partition("\n")[2], {"target": "0"}, "numbers for names of its columns"),
    "one column": ("y\n1\n2\n", {}, "single column, 'y'"),
    "other separator": (GOOD.replace(",", "|"), {}, "single column, 'a|b|y'"),
    "long row": (GOOD + "1,5,2,3\n", {}, "line 22: 4 cells, but the header names 3"),
    "short row": (GOOD + "1\n", {}, "line 22: 1 cells"),
    "open quote": (GOOD + '1,"2,3\n', {}, "line 22: unexpected end of data"),
    "text after a quote": (GOOD + '1,"2" m,2\n', {}, "line 22: ',' expected after"),
    "constant target": ("a,y\n" + "1,2.5\n2,2.5\n3,2.5\n" * 5, {}, "y has the same value, 2.5, in all 10"),
    "missing target": (GOOD + "1,2,\n2,3,\n", {}, "'y' has no .* 2 of 22 .* line 22. Leave these rows out.$"),
    "Python's numbers": (GOOD + "1_000,2,1\n", {}, "'a' has both .*'0' .line 2. and '1_000' .line 22"),
    "missing input": (GOOD + "NA,2,1\n", {}, "column 'a' has no value in 1 of 21 .* --drop a"),
    "NaN": (GOOD + "nan,2,1\nNaN,1,1\n", {}, "column 'a' has no value in 2 of 22"),
    "question mark": (GOOD + "1,?,1\n", {}, "column 'b' has no value in 1 of 21"),
    "empty column": ("a,b,y\n" + ",1,1.5\n,2,2.5\n" * 4, {}, "column 'a' has no value in 8 of 8"),
    "missing word": ("a,y\n" + "u,1.5\nv,2.5\n,1\n" * 4, {}, "column 'a' has no value in 4 of 12 .*line 4"),
    "infinite": (GOOD + "inf,2,1\n", {}, "column 'a' has NaN, infinite or huge"),
    "infinite target": (GOOD + "1,2,inf\n", {}, "NaN or infinite in 1 of 21"),
    "huge": (GOOD + "1e60,2,1\n", {}, "column 'a' has NaN, infinite or huge"),
    "numbers and words": (GOOD + "1 m,2,1\n", {}, "'a' has both .*'0' .line 2. and '1 m' .line 22"),
    "decimal commas": (GOOD + '"1,5",2,1\n', {}, "'a' has numbers with commas, such as '1,5' .line 22"),
    "semicolons and commas": (
        "a;y\n" + "".join(f"{k},5;{k}\n" for k in range(30)), {}, "numbers with commas, such as '0,5'"
    ),
    "thousands": (GOOD + '"1,200,300",2,1\n', {}, "numbers with commas, such as '1,200,300'"),
    "names": ("a,y\n" + "".join(f"n{k},{k}.5\n" for k in range(40)), {}, "40 different .*--drop a"),
    "words to predict": ("a,y\n" + "".join(f"{k},n{k}\n" for k in range(40)), {}, "'y' has 40 different"),
    "constant inputs": ("a,b,y\n" + "".join(f"1,u,{k}.5\n" for k in range(9)), {}, "all columns are const"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "settings", "said"), BAD.values(), ids=BAD)
def test_what_a_table_cannot_be_is_named(text, settings, said, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=f"(?s){said}") as caught:
        data.load(tmp_path / "t.csv", **{"target": "y", **settings})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("content", [GOOD.encode("utf-16"), b"a,y\n\xff\xfe,1\n", b"\x00\x01\x02"])
def test_what_is_no_text_is_refused(content, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "t.csv"))):
        data.load(tmp_path / "t.csv", target="y")


def test_words_may_be_numbers_of_nothing(tmp_path):
    """In a column of words NA is one of them, as the name of a country or of what is not there."""
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"{('NA', 'DE')[k % 2]},{k}.5\n" for k in range(20)))
    assert data.load(path, target="y").columns == ("a=DE", "a=NA")


def test_numbers_of_rows_are_told(tmp_path):
    columns = {"id": range(7, ROWS + 7), "area": AREA, "year": [1990] * ROWS, "y": PRICE}
    splits = data.load(written(tmp_path / "t.csv", columns), target="y")
    said = (
        "id counts the rows: leave it out, by drop=['id'], or --drop id, unless it means something."
    )
    assert splits.told[0] == said and not any("area" in line for line in splits.told)


def test_codes_are_words(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"2020_0{k % 3},{k}.5\n" for k in range(20)))
    assert data.load(path, target="y").columns == ("a=2020_00", "a=2020_01", "a=2020_02")


def test_what_is_left_out_may_be_anything(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "id,a,y\n" + "".join(f"{('', 'x', 7)[k % 3]},{k},{k * k}.5\n" for k in range(20))
    )
    assert data.load(path, target="y", drop=["id"]).columns == ("a",)


def test_a_list_of_names_is_no_text(houses):
    with pytest.raises(
        TypeError, match="`drop` must be a list of names of columns, but got 'city'"
    ):
        data.load(houses, target="price", drop="city")


# --- Parquet ------------------------------------------------------------------------------------


def test_parquet_needs_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        MissingExtraError, match=r"parquet file needs pyarrow.*nongreedy\[parquet\]"
    ):
        data.load(tmp_path / "t.parquet", target="y")


@pytest.fixture
def parquet():
    needs("pyarrow")
    import pyarrow
    import pyarrow.parquet

    return lambda path, columns: pyarrow.parquet.write_table(pyarrow.table(columns), path)


def test_parquet_is_read_as_csv_is(parquet, houses, tmp_path):
    columns = {"area": AREA, "rooms": ROOMS, "city": CITY.tolist(), "price": PRICE}
    parquet(tmp_path / "houses.parquet", columns)
    plain = data.load(houses, target="price")
    found = data.load(tmp_path / "houses.parquet", target="price")
    assert (found.columns, found.told) == (plain.columns, plain.told)
    for a, b in zip(found.test, plain.test, strict=True):
        assert torch.equal(a, b)
    assert data.load(tmp_path / "houses.parquet", target="rooms").classes == tuple("12345")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ([1.0, None] * 20, "column 'a' has no value in 20 of 40"),
        ([1.0, float("nan")] * 20, "column 'a' has no value in 20 of 40"),
        ([[1], [2]] * 20, "column 'a' is of type list"),
        ([f"n{k}" for k in range(40)], "40 different words"),
    ],
)
def test_columns_of_parquet_that_are_refused(parquet, column, said, tmp_path):
    parquet(tmp_path / "t.parquet", {"a": column, "y": PRICE})
    with pytest.raises(DataError, match=said):
        data.load(tmp_path / "t.parquet", target="y")
