"""The catalogue of mistakes, one list a family; `planting` says how a mistake is put into a chain."""
