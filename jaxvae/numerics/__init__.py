"""Draws, densities, divergences. Nothing here knows of VAEs."""
