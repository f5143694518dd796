"""CSV files as people have them."""

IRIS_LIKE = "length;width;species\n" + "".join(
    f"{i % 7 + 0.5};{'' if i == 4 else i % 5};{'setosa' if i % 7 < 3 else 'virginica'}\n" for i in range(60)
)
"""Semicolons, two classes, and a hole in line 6."""
NUMBERS = "a,b,y\n" + "".join(f"{i},{i * i % 13},{i * 0.37 - 4}\n" for i in range(80))
"""A number to be told."""
