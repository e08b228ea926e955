"""What people touch: figures, runs, the command line, estimators."""
