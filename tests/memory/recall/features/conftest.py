import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no folder: place.py is shared by these tests
