"""Other people's projects, with the package as it is installed: `make sites`."""
