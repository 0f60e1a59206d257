"""devicesvc: a registry of devices behind a REST API, its data in a CSV file that a person can read.

Nothing is imported here, so that `import devicesvc.model` loads the model and no more.
"""

__version__ = "0.1.0"
