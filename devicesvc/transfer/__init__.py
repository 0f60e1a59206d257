"""The mover: all of a registry from one store to another, checked, verified, and put in its place as a whole.

`mover` runs a migration from a `source` to a `target`; each kind of store has one of both. `progress` shows it on the
screen. It imports the stores, `csv_codec`, `columns` and `model`; dao/urls.py names its sources and targets.
"""
