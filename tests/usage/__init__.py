"""Tests of the sums of what was used."""
