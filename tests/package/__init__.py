"""The distribution, built and used in clean environments: `make package`."""
