"""Mistakes to look at while a checker is improved, a file a family."""
