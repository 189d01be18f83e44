"""`python -m tests.soak`."""

from __future__ import annotations

import sys

from .command import main

sys.exit(main())
