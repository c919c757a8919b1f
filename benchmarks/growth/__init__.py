"""What an operation costs when the history grows, and when more jobs are in flight.

``python -m benchmarks.growth`` builds a history of finished jobs by SQL, measures at each size, and
prints a table; :func:`benchmarks.growth.measure.measure` returns the same as plain data.
"""
