"""Compile every Triton kernel that is launched, for the cards named: `compile_kernels.py 80 90`.

Prints module, variant, architecture and bytes of machine code, one a line, separated by tabs. Must
run without TRITON_INTERPRET; needs no card.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

import robocache.ops

for found in pkgutil.walk_packages(robocache.ops.__path__, "robocache.ops."):
    if not found.name.endswith(".triton"):
        continue
    module = importlib.import_module(found.name)
    variants = module.VARIANTS
    compiled = {kernel for _, kernel, _, _ in variants}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        match node:
            case ast.Call(func=ast.Subscript(value=ast.Name(name))):
                assert getattr(module, name) in compiled, f"{found.name}: {name} not in VARIANTS"
    for name, kernel, signature, constants in variants:
        for arch in map(int, sys.argv[1:]):
            source = ASTSource(kernel, signature, constants)
            target = GPUTarget("cuda", arch, 32)
            code = triton.compile(source, target=target, options={"enable_fp_fusion": False})
            sys.stdout.write(f"{found.name}\t{name}\t{arch}\t{len(code.asm['cubin'])}\n")
