"""Lets the tests of this folder share the helpers of one another."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "twin"))  # level_model.py
sys.path.insert(0, str(Path(__file__).parent))
