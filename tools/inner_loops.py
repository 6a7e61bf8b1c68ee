"""Prints what the inner loops of kernels are made of: docs/arm.md has the table.

python tools/inner_loops.py OBJECT...     objdump is that of the objects' architecture

One line for each innermost loop with products: the function, the vectors of A and B that it loads
in a round, its instructions, and those that are products, other vector instructions, and the rest.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.codebase.test_objects import PRODUCT, functions, innermost_loops, touches_stack

LOAD = re.compile(r"ld(ur|r|p|1r?|[rp]sh)|v?movd?q?[au]")


def count(loop: list[str]) -> Counter[str]:
    """Count the instructions of a loop by kind; a load of a pair counts as one, and two vectors."""
    found: Counter[str] = Counter()
    for text in loop:
        name, _, operands = text.partition("\t")
        vector = re.match(r"\{? ?[vqds]\d", operands) is not None
        if PRODUCT.match(name):
            found["products"] += 1
        elif LOAD.match(name) and "[" in operands:
            found["loads"] += 1
            found["vectors"] += 2 if name == "ldp" else 1
        elif vector:
            found["other vector"] += 1
        else:
            found["scalar"] += 1
        found["stack"] += touches_stack(text, frame=False)
    return found


def main() -> int:
    """Print the table; return 1 where no loop was found."""
    rows = 0
    for path in sys.argv[1:]:
        for name, instructions in functions(path):
            for loop in innermost_loops(instructions):
                found = count(loop)
                if found["products"] == 0:
                    continue
                rows += 1
                kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(found.items()) if n)
                sys.stdout.write(f"{name.split('::')[-1] if '(' not in name else name}: ")
                sys.stdout.write(f"{len(loop)} instructions: {kinds}\n")
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
