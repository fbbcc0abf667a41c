"""Tests of tasks that were written for Inspect. Without Inspect they are skipped, each with this reason."""

import pytest

pytest.importorskip("inspect_ai", reason="Inspect is not installed: pip install -e '.[inspect]'")
