"""Sequence and spin systems to basis sets: simulation, reading, writing, checking."""
