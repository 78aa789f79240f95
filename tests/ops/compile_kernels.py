"""Compile the Triton kernels that are launched, for the cards named: `compile_kernels.py 80 90`.

Of every kernel as many variants as show each type of each argument, and each constant, once; with
`--every` all of them. Prints module, variant, architecture and bytes of machine code, one a line,
separated by tabs. Must run without TRITON_INTERPRET; needs no card.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

import robocache.ops


def modules() -> list[str]:
    """Every module with kernels."""
    found = pkgutil.walk_packages(robocache.ops.__path__, "robocache.ops.")
    return [one.name for one in found if one.name.endswith(".triton")]


def variants(module: str, *, every: bool) -> Iterator[tuple[str, Any, Any, Any]]:
    """Name, kernel, signature and constants of what is to be compiled."""
    shown: set[Any] = set()
    for variant in importlib.import_module(module).VARIANTS:
        _, kernel, signature, constants = variant
        traits = {(kernel, *item) for item in (*signature.items(), *constants.items())}
        if every or not traits <= shown:
            shown |= traits
            yield variant


def require_listed(module: str) -> None:
    """Fail where a kernel is launched that is in no variant."""
    source = importlib.import_module(module)
    compiled = {kernel for _, kernel, _, _ in source.VARIANTS}
    for node in ast.walk(ast.parse(inspect.getsource(source))):
        match node:
            case ast.Call(func=ast.Subscript(value=ast.Name(name))):
                assert getattr(source, name) in compiled, f"{module}: {name} not in VARIANTS"


def main() -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    arches = [int(text) for text in sys.argv[1:] if text != "--every"]
    for module in modules():
        require_listed(module)
        for name, kernel, signature, constants in variants(module, every="--every" in sys.argv):
            for arch in arches:
                source = ASTSource(kernel, signature, constants)
                target = GPUTarget("cuda", arch, 32)
                code = triton.compile(source, target=target, options={"enable_fp_fusion": False})
                sys.stdout.write(f"{module}\t{name}\t{arch}\t{len(code.asm['cubin'])}\n")


if __name__ == "__main__":
    main()
