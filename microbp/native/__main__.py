"""``python -m microbp.native`` prints the rows of the table anew; then build the extension again."""

from microbp.native.rows import FILE, printed

FILE.write_text(printed(), encoding="utf-8")
