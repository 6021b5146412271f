"""How the machine in C is built: it is optional, and built for several instruction sets."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import PlatformError

HERE = "microbp/native"
#: No contraction: the eager engine rounds a product before it adds, and so does the machine, but for its FMA.
EXACT = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno"]
#: The best first.
VARIANTS: dict[str, list[str]] = {"plain": []}
if platform.machine() in ("x86_64", "AMD64", "amd64"):
    VARIANTS = {
        "avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
        "avx2": ["-mavx2", "-mfma"],
        "plain": VARIANTS["plain"],
    }


class Build(build_ext):
    """Compiles ``lanes.c`` once for each instruction set; whatever fails, the package works without."""

    def build_extension(self, extension: Any) -> None:
        """``optional`` makes a failure here a warning."""
        if self.compiler.compiler_type != "unix":
            raise PlatformError("the machine is built with GCC or Clang; microbp runs in Python without it")
        extension.define_macros.append(("LANES_BUILT", ", ".join(f"&lanes_{name}" for name in VARIANTS)))
        for name, flags in VARIANTS.items():
            folder = str(Path(self.build_temp) / name)
            extension.extra_objects += self.compiler.compile(
                [f"{HERE}/lanes.c"], folder, [("LANES_OF", f"lanes_{name}"), ("LANES_NAME", f'"{name}"')],
                depends=extension.depends, extra_postargs=[*EXACT, "-fno-trapping-math", *flags],
            )  # fmt: skip
        super().build_extension(extension)


setup(
    cmdclass={"build_ext": Build},
    ext_modules=[
        Extension(
            "microbp.native._machine",
            [f"{HERE}/{name}.c" for name in ("module", "plan", "run", "exact", "value")],
            depends=[f"{HERE}/{name}" for name in ("machine.h", "single.h", "rows.h", "lanes.c")],
            extra_compile_args=[*EXACT, "-pthread"],
            extra_link_args=["-pthread"],
            optional=True,
        )
    ],
)
