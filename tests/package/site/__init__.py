"""Files that are laid over a new project; they run where the package is installed."""
