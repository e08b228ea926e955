"""Readers of files and folders as people have them: tables, pictures, counts, texts."""
