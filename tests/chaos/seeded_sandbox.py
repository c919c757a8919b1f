"""The sandbox with a random seed: ``python -m tests.chaos.seeded_sandbox SEED [OPTIONS]``."""

import random
import sys

from django_docraptor.sandbox.__main__ import main

if __name__ == "__main__":
    random.seed(int(sys.argv.pop(1)))
    sys.exit(main())
