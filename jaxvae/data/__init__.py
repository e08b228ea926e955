"""Batches, data sets, files, streams. Nothing here knows of models."""
