"""`python -m drivers`: names the programs, since it is none itself."""

import pkgutil
import sys
from pathlib import Path

if __name__ == "__main__":
    names = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if not module.ispkg)
    programs = [name for name in names if name not in ("__main__", "errors") and not name.endswith("options")]
    sys.exit("Say which program: " + ", ".join(f"python -m drivers.{name}" for name in programs))
