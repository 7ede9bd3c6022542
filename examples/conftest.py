"""Makes each example importable as the gateway imports it: ``<folder>.plugin``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
