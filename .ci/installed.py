"""Whether the installed microbp has the engine that it should, and works: `installed.py [native|python]`.

It runs the first example of README.md, which stands in the folder above, and compares what it shows.
"""

import doctest
import re
import sys
from pathlib import Path

import microbp

here = Path(__file__).resolve().parent.parent
if Path(microbp.__file__).is_relative_to(here / "microbp"):
    sys.exit("this is the checkout, and no microbp that is installed: run it from another folder")
wanted = sys.argv[1] if len(sys.argv) > 1 else "native"
found = microbp.engine()
print(f"microbp {microbp.__version__} in Python {sys.version.split()[0]}; engine {found}")
if found.name != wanted:
    sys.exit(f"the engine should be {wanted}")
text = (here / "README.md").read_text("utf-8")
example = re.search(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
if example is None:
    sys.exit("README.md has no example in Python")
marked = re.sub(r"\n\n(?!>>>)", "\n<BLANKLINE>\n", example[1])
test = doctest.DocTestParser().get_doctest(marked, {}, "README.md", "README.md", 0)
failed, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
print(f"{tried} lines of the first example, {failed} show something else")
sys.exit(failed > 0)
