"""Measurements, each script answering one question; see README.md beside this file."""
