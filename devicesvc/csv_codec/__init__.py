"""Items to lines of CSV and back: the CSV store, the import and export of the API and the mover share it.

It imports `columns`, `model` and `errors`, and nothing of what uses it.
"""
