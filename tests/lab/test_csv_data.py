"""A file of the user's own is taken as it is, or refused with the line and the column."""

import pytest

from headwater.lab.csv_data import MOST_BYTES, MOST_ROWS, read
from headwater.lab.refusal import RefusedError
from tests.lab.files import IRIS_LIKE, NUMBERS


def rows(count: int, row: str = "1,2,x") -> str:
    return "a,b,c\n" + "".join(f"{row if i % 2 else '3,4,y'}\n" for i in range(count))


def test_classes_and_numbers_are_told_apart() -> None:
    classes, curve = read(IRIS_LIKE), read(NUMBERS)
    assert (classes.task, classes.classes, classes.target) == ("classes", ("setosa", "virginica"), "species")
    assert classes.columns == ("length", "width")
    assert (curve.task, curve.shape.outputs, len(curve.inputs)) == ("curve", 1, 80)
    assert curve.targets[1] == pytest.approx(0.37 - 4)


def test_rows_with_holes_are_counted_and_left_out() -> None:
    found = read(IRIS_LIKE).to_dict()
    assert found["rows"] == 59
    assert found["dropped"]["rows"] == 1
    assert "line 6" in found["dropped"]["said"]["en"]
    assert "width" in found["dropped"]["said"]["ko"]


@pytest.mark.parametrize("hole", ["", "NA", "nan", "?", " null "])
def test_every_way_to_write_a_hole_is_known(hole: str) -> None:
    assert read(rows(40, f"{hole},2,x") + "5,6,x\n" * 30).holes == 20


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        ("", "csv_few", ""),
        ("a,b\n", "csv_few", ""),
        (rows(10), "csv_few", "10"),
        ("a\n" + "1\n" * 30, "csv_columns", ""),
        (",".join("abcdefghij" * 10) + "\n" + "1\n" * 30, "csv_columns", ""),
        (rows(30) + "1,2\n", "csv_width", "32"),
        (rows(30) + "1,two,x\n", "csv_number", "two"),
        (rows(30) + "1,inf,x\n", "csv_number", "inf"),
        (rows(30) + "0;5,2,x\n", "csv_number", "with a point"),
        (rows(30) + "1,1e300,x\n", "csv_large", "1.0e300 is too large"),
        ("a,c\n" + "".join(f"1,{i}e30\n" for i in range(30)), "csv_target", "2.0e30"),
        ("a,c\n" + "".join(f"1,{i}\n" for i in range(29)) + "1,inf\n", "csv_target", "Inf"),
        ("a,b,c\n" + "1,2,x\n" * 30, "csv_one_class", "x"),
        ("a,c\n" + "".join(f"1,word{i}\n" for i in range(30)), "csv_classes", "30"),
        (rows(MOST_ROWS + 1), "csv_rows", ""),
        ('a,b,c\n1,"2,x\n', "csv_broken", ""),
        ("x" * (MOST_BYTES + 1), "csv_bytes", ""),
    ],
)
def test_file_that_cannot_be_taken_is_refused_with_the_place(text: str, key: str, told: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read(text)
    assert refused.value.message.id == f"lab.engine.refused.{key}"
    assert told in str(refused.value)


def test_byte_order_mark_and_quotes_are_read() -> None:
    assert read("\ufeffa,b,c\n" + '"1","2","x"\n3,4,y\n' * 20).columns == ("a", "b")
