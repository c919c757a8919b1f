"""The cost of an operation as the history grows, and as more jobs are in flight.

``python -m benchmarks.growth`` creates a history of finished jobs with SQL, measures at each size,
and prints a table; :func:`benchmarks.growth.measure.measure` returns the same as plain data.
"""
