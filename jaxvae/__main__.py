"""`python -m jaxvae`: the command line."""

import sys

from jaxvae.cli import main

sys.exit(main())
