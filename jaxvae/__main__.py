"""`python -m jaxvae`: the command line."""

import sys

from jaxvae.apps.cli import main

sys.exit(main())
